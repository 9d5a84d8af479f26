"""The application that the server runs: the page, behind a door that only pages of this computer's own address pass.

A page anywhere on the web may lead its own name to 127.0.0.1 once it is loaded (DNS rebinding), and would then read
this server's answers as its own. The name it was asked by, which the browser tells, gives it away.
"""

import asyncio
import importlib
import os
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import streamlit as st
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.starlette import App

from critlearn.explorer.server.start import HOST

_OWN: Final = ("localhost", "127.0.0.1")
"""Names of this computer's own address."""

_NAMES: Final = (*_OWN, *filter(None, [os.environ.get(HOST)]))
"""These, and the one that `--host` gives."""

_POLICY_VIOLATION: Final = 1008
"""Code with which a web socket is closed; before it is accepted, its handshake is answered by 403."""

_STARTED: Final = 0.5
"""Seconds from here on until the server listens: the browser itself takes longer to start."""


class LocalOnly:
    """Middleware that refuses requests by another name, and from pages of another origin, before anything is done."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan" or is_local(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            refusal = PlainTextResponse(
                f"the explorer answers to {' and '.join(_NAMES)} alone; --host names another\n", 403
            )
            await refusal(scope, receive, send)


def is_local(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request names this computer's own address, and comes from a page of the same origin, if from any."""
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    if len(hosts) != 1 or len(origins) > 1:
        return False
    try:
        named = urlsplit(f"//{hosts[0]}")
        own = named.hostname in _NAMES and named.netloc == hosts[0] and named.username is None
        # Only whoever stands before the server, under a name that --host gives, may speak TLS. Which port is named is
        # not looked at beyond its being one: a browser names the one that it reaches, which a tunnel has chosen.
        schemes = ("http",) if named.hostname in _OWN else ("http", "https")
        same = {f"{scheme}://{hosts[0]}".lower() for scheme in schemes}
        return own and named.port != 0 and all(origin.lower() in same for origin in origins)
    except ValueError:
        return False


@asynccontextmanager
async def opened(_: App) -> AsyncIterator[dict[str, Any] | None]:
    """Open the page in a browser when the server has started, unless it is headless, and import the first tab."""
    if not st.get_option("server.headless"):
        url = f"http://{st.get_option('server.address')}:{st.get_option('server.port')}"
        asyncio.get_running_loop().call_later(_STARTED, webbrowser.open, url)
    # While the browser starts, which takes seconds as the import does.
    threading.Thread(target=importlib.import_module, args=("critlearn.explorer.compose",), daemon=True).start()
    yield None


app = App(Path(__file__).parents[1] / "app.py", middleware=[Middleware(LocalOnly)], lifespan=opened)
