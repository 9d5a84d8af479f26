"""Start the explorer: Streamlit on this computer's own address only."""

import os
import re
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from critlearn.errors import DataError, InvalidInputError, MissingPackageError

ADDRESS: Final = "127.0.0.1"
"""Address that only this computer can reach."""

_COLOURS: Final = {"light": "#0072B2", "dark": "#56B4E9"}
"""Colours of active controls: blues of Okabe and Ito, with a contrast to the page of at least 4.5, light or dark."""


HOST: Final = "CRITLEARN_EXPLORER_HOST"
"""Environment variable by which the server is told a further name that it answers to."""

_NAME: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
"""Name of a computer in a network."""


def command(folder: Path | None, port: int, *, headless: bool, host: str = ADDRESS) -> list[str]:
    """Command that serves the explorer."""
    page = Path(__file__).with_name("local_app.py")
    options = {
        "server.address": ADDRESS,
        # Without it a foreign page would make the server ask others for its own external address.
        "browser.serverAddress": host,
        "server.port": str(port),
        "server.headless": str(headless).lower(),
        "server.fileWatcherType": "none",
        # Streamlit would ask for an address of its user, and wait, at its first start.
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "false",
        **{f"theme.{name}.primaryColor": colour for name, colour in _COLOURS.items()},
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(page), *arguments, "--", *([str(folder)] if folder else [])]


def serve(folder: Path | None, port: int, *, headless: bool, host: str | None = None) -> NoReturn:
    """Become the server of the explorer, until it is stopped: no second process can be left behind.

    Parameters
    ----------
    folder
        Folder of runs for the tabs on runs; None for none.
    port
        Port of the local address.
    headless
        Whether to leave the browser closed.
    host
        Further name to answer to, as that of a proxy on this computer; None for none.

    Raises
    ------
    MissingPackageError
        If Streamlit is not installed.
    InvalidInputError
        If the port is out of range or in use, or the name is none.
    DataError
        If there is no such folder.
    """
    if find_spec("streamlit") is None:
        raise MissingPackageError('the explorer needs Streamlit: pip install "critlearn[explore]"')
    if not 1024 <= port <= 65535:
        raise InvalidInputError(f"--port must be from 1024 to 65535; got {port}")
    if host is not None and not _NAME.fullmatch(host):
        raise InvalidInputError(f'--host takes one name, as lab.example, without port or scheme; got "{host}"')
    if folder is not None and not folder.is_dir():
        raise DataError(f'there is no folder "{folder}"')
    _check_free(port)
    os.environ[HOST] = (host or "").lower()
    arguments = command(folder, port, headless=headless, host=host or ADDRESS)
    os.execv(arguments[0], arguments)  # nosec B606  # the interpreter that runs, without a shell


def _check_free(port: int) -> None:
    """Raise if the port is in use: Streamlit's own message names an option that this command does not have."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((ADDRESS, port))
        except OSError as problem:
            reason = f"port {port} of {ADDRESS} cannot be used ({problem.strerror})"
            raise InvalidInputError(f"{reason}: choose another by --port") from None
