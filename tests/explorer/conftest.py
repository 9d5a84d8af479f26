"""A study whose runs hold power laws, and its explorer in a browser."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from critlearn.explorer.server.start import ADDRESS, command
from reference.chromium import chromium
from shape_checker import switched_off

PATIENCE = 60_000


@pytest.fixture(scope="session")
def lawful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of five runs: two activations with two losses, one of the compositions with two seeds."""
    from critlearn.studies import ToyConfig, run_toy, write_run

    out = tmp_path_factory.mktemp("lawful")
    for activation, loss, seed in (
        ("sigmoid", "bce", 0),
        ("sigmoid", "mse", 0),
        ("softsign", "bce", 0),
        ("softsign", "bce", 1),
        ("softsign", "mse", 0),
    ):
        config = ToyConfig(activation=activation, loss=loss, seed=seed, samples=20_000, epochs=10, batch_size=1000)
        with switched_off():
            write_run(out, run_toy(config), lambda record, fluctuations: "")
    return out


@pytest.fixture(scope="module")
def address(lawful: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an explorer that serves the study."""
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path_factory.mktemp("home"))}
    folder = tmp_path_factory.mktemp("explorer")
    server = subprocess.Popen(command(lawful, port, headless=True), env=environment, cwd=folder)
    url = f"http://{ADDRESS}:{port}"
    try:
        for _ in range(120):
            try:
                with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system."""
    with chromium("the explorer is") as started:
        yield started


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    opened.goto(address)
    expect(opened.locator(".js-plotly-plot").first).to_be_visible()
    yield opened
    opened.close()
