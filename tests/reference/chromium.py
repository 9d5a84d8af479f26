"""Headless Chromium of the system, in which pages are tested."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright


@contextmanager
def chromium(what: str) -> Iterator[Browser]:
    """Browser; where there is none, what is NOT tested is said loudly and skipped."""
    path = shutil.which("chromium")
    if path is None:
        message = f"no chromium on the path: {what} NOT tested in a browser"
        warnings.warn(message, stacklevel=3)
        pytest.skip(message)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()
