"""The explorer answers to this computer's own address alone: handshakes written out, as no browser would let one."""

import asyncio
import contextlib
import runpy
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from critlearn.explorer.server import local_app
from critlearn.explorer.server.local_app import LocalOnly, is_local
from critlearn.explorer.server.start import HOST, command

FOREIGN = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example:PORT",
    "evil@127.0.0.1:PORT",
    "192.168.0.1",
    "",
)
SOCKET = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def status(address: str, path: str, headers: str) -> int:
    """Code of the answer to a request that is written out here."""
    place = urlsplit(address)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 0), timeout=20) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        return int(connection.recv(100).split()[1])


@pytest.mark.browser
def test_foreign_names_and_origins_are_refused_at_the_door(address: str) -> None:
    port = str(urlsplit(address).port)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        own = f"Host: {host}\r\n"
        assert status(address, "/", own) == 200
        assert status(address, "/_stcore/stream", own + SOCKET) == 101
        assert status(address, "/_stcore/stream", own + f"Origin: http://{host}\r\n" + SOCKET) == 101
        for origin in ("http://evil.example", "http://127.0.0.1:1", f"http://127.0.0.1.evil.example:{port}", "null"):
            foreign = own + f"Origin: {origin}\r\n"
            assert status(address, "/", foreign) == 403
            assert status(address, "/_stcore/stream", foreign + SOCKET) == 403
    for host in FOREIGN:
        headers = f"Host: {host.replace('PORT', port)}\r\n"
        for path in ("/", "/_stcore/health", "/_stcore/host-config", "/static/"):
            assert status(address, path, headers) in (400, 403)
        assert status(address, "/_stcore/stream", headers + SOCKET) in (400, 403)


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ({"host": "localhost"}, True),
        ({"host": "127.0.0.1:8501"}, True),
        ({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501"}, True),
        ({"host": "127.0.0.1:8501", "origin": "http://localhost:8501"}, False),
        ({"host": "127.0.0.1:8501", "origin": "HTTP://127.0.0.1:8501"}, True),
        ({"host": "127.0.0.1:8501", "origin": "https://127.0.0.1:8501"}, False),
        ({"host": "127.0.0.1:8501", "origin": "chrome-extension://127.0.0.1:8501"}, False),
        ({"host": "127.0.0.1:8501", "origin": "//127.0.0.1:8501"}, False),
        ({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1:8501/path"}, False),
        ({"host": "127.0.0.1:8501", "origin": "http://127.0.0.1"}, False),
        # The near end of a tunnel has a port of its own.
        ({"host": "localhost:9000", "origin": "http://localhost:9000"}, True),
        ({"host": "127.0.0.1:x"}, False),
        ({"host": "127.0.0.1:0"}, False),
        ({"host": "127.0.0.1:99999"}, False),
        ({"host": "localhost/evil"}, False),
        ({"host": "localhost?evil"}, False),
        ({"host": "[::1"}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, False),
        ({}, False),
    ],
)
def test_names_of_this_computer(headers: dict[str, str], local: bool) -> None:
    assert is_local([(name.encode(), value.encode()) for name, value in headers.items()]) is local


def test_a_further_name_is_that_of_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--browser.serverAddress=lab.example" in command(None, 8501, headless=True, host="lab.example")
    monkeypatch.setenv(HOST, "lab.example")
    names = runpy.run_path(str(local_app.__file__))["_NAMES"]
    assert names == ("localhost", "127.0.0.1", "lab.example")
    monkeypatch.setattr(local_app, "_NAMES", names)
    assert is_local([(b"host", b"LAB.example"), (b"origin", b"https://LAB.example")])
    assert not is_local([(b"host", b"lab.example"), (b"origin", b"ftp://lab.example")])
    assert not is_local([(b"host", b"lab.example.evil.example")])
    assert not is_local([(b"host", b"lab.example"), (b"origin", b"http://evil.example")])


@pytest.mark.browser
def test_twelve_sessions_at_once_are_all_answered(address: str) -> None:
    """Each web socket gets what the server sends of itself: frames of more than a few bytes, and none is closed."""
    place = urlsplit(address)
    with contextlib.ExitStack() as stack:
        sessions = [
            stack.enter_context(socket.create_connection((str(place.hostname), place.port or 0), timeout=60))
            for _ in range(12)
        ]
        for session in sessions:
            session.sendall(f"GET /_stcore/stream HTTP/1.1\r\nHost: {place.netloc}\r\n{SOCKET}\r\n".encode())
        for session in sessions:
            assert session.recv(1000).split(b" ")[1] == b"101"
        for session in sessions:
            # A page asks for itself by an empty message of field 11, masked as all that a browser sends.
            session.sendall(b"\x82\x82\x00\x00\x00\x00\x5a\x00")
        for session in sessions:
            head = session.recv(2)
            # Binary, whole, and not the frame that closes a connection.
            assert head[0] == 0x82
        assert status(address, "/_stcore/health", f"Host: {place.netloc}\r\n") == 200


def test_several_names_are_none() -> None:
    assert not is_local([(b"host", b"localhost"), (b"host", b"evil.example")])


def test_what_is_refused_reaches_no_application() -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("it was asked")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    for kind in ("http", "websocket"):
        scope = {"type": kind, "method": "GET", "path": "/", "headers": [(b"host", b"evil.example")]}
        asyncio.run(LocalOnly(never)(scope, receive, send))
    assert sent[0]["status"] == 403
    assert sent[-1] == {"type": "websocket.close", "code": 1008}


def test_no_address_is_looked_up() -> None:
    # Streamlit looks for the address of a server only where none is given to it.
    given = command(None, 8501, headless=True)
    assert {"--server.address=127.0.0.1", "--browser.serverAddress=127.0.0.1"} <= set(given)


@pytest.mark.parametrize(("headless", "opens"), [(True, 0), (False, 1)])
def test_a_browser_is_opened_unless_it_is_headless(headless: bool, opens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"server.headless": headless, "server.address": "127.0.0.1", "server.port": 8501}
    found: list[str] = []
    monkeypatch.setattr(local_app.st, "get_option", settings.__getitem__)
    monkeypatch.setattr(local_app.webbrowser, "open", found.append)
    monkeypatch.setattr(local_app, "_STARTED", 0)

    async def started() -> None:
        async with local_app.opened(local_app.app):
            await asyncio.sleep(0.05)

    asyncio.run(started())
    assert found == ["http://127.0.0.1:8501"] * opens
