"""What keeps the explorer from starting is told in one line, with the option that mends it."""

import socket

import pytest

from critlearn.cli.main import app, exit_code
from critlearn.explorer.server.start import ADDRESS


def test_a_port_in_use_is_refused_with_the_option_that_chooses_another(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind((ADDRESS, 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert exit_code(app, ["explore", "--headless", "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert f"port {port} of 127.0.0.1 cannot be used" in told
    assert "--port" in told


@pytest.mark.parametrize("host", ["*", "", "a b", "http://lab.example", "lab.example:80", "lab..example", "a\n"])
def test_a_host_is_a_name(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, ["explore", "--headless", "--host", host]) == 2
    assert "--host takes one name" in capsys.readouterr().err
