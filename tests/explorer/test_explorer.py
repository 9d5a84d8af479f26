"""The explorer in a real browser: every tab is used, and its pictures change."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect, sync_playwright

from critlearn.cli.main import app, exit_code
from critlearn.explorer.design_tab import code
from critlearn.explorer.serve import ADDRESS, command

IMAGES = Path(__file__).parents[2] / "docs" / "images"
CHROMIUM = shutil.which("chromium")
PATIENCE = 60_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an explorer that serves the study of four runs."""
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(tmp_path_factory.mktemp("home"))}
    folder = tmp_path_factory.mktemp("explorer")
    server = subprocess.Popen(command(study, port, headless=True), env=environment, cwd=folder)
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
    if CHROMIUM is None:
        warnings.warn("no chromium on the path: the explorer is NOT tested in a browser", stacklevel=1)
        pytest.skip("no chromium on the path: the explorer is NOT tested in a browser")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    opened.goto(address)
    expect(_picture(opened, "Predicted density")).to_be_visible()
    yield opened
    opened.close()


def _picture(page: Page, alternative: str):
    return page.locator(f'img[alt^="{alternative}"]').first


def _choose(page: Page, label: str, option: str) -> None:
    # A page that is drawn again closes the list that has just been opened: a user would open it once more.
    _settled(page)
    for last in (False, False, False, True):
        page.get_by_role("combobox", name=re.compile(label)).first.click()
        try:
            page.get_by_role("option", name=option, exact=True).click(timeout=PATIENCE if last else PATIENCE / 6)
        except TimeoutError:
            if last:
                raise
            page.keyboard.press("Escape")
        else:
            return


def _changed(page: Page, alternative: str, before: str | None) -> None:
    expect(_picture(page, alternative)).not_to_have_attribute("src", str(before))


def _settled(page: Page) -> None:
    """Wait until the page is no longer being drawn."""
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)


def test_compose_predicts_at_once_and_samples(page: Page) -> None:
    expect(page.get_by_text("kappa = 4/3")).to_be_visible()
    before = _picture(page, "Predicted density").get_attribute("src")
    _choose(page, "Activation", "tanh")
    _changed(page, "Predicted density", before)
    expect(page.get_by_text("Caustic: fold")).to_be_visible()
    before = _picture(page, "Predicted density").get_attribute("src")
    page.get_by_role("button", name="Sample 20,000 inputs").click()
    _changed(page, "Predicted density", before)
    _settled(page)
    page.screenshot(path=IMAGES / "explorer_compose.png")


def test_an_expression_is_read_and_never_run(page: Page, tmp_path: Path) -> None:
    _choose(page, "Activation", "expression …")
    field = page.get_by_role("textbox", name="Activation: expression")
    expect(field).to_be_visible()
    proof = tmp_path / "run"
    field.fill(f"__import__('os').system('touch {proof}')")
    field.press("Enter")
    expect(page.get_by_role("alert").first).to_be_visible()
    assert not proof.exists()
    field.fill("y/(1+abs(y))")
    field.press("Enter")
    expect(page.get_by_text("kappa = 4/3")).to_be_visible()


def test_design_by_keyboard(page: Page) -> None:
    page.get_by_role("tab", name="Compose").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_text("made = design(1.5)")).to_be_visible()
    before = _picture(page, "Loss and error signal").get_attribute("src")
    page.get_by_role("slider", name="Exponent k").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    _changed(page, "Loss and error signal", before)
    expect(page.get_by_text("made = design(1.75)")).to_be_visible()
    _settled(page)
    page.screenshot(path=IMAGES / "explorer_design.png")


def test_runs_are_filtered_compared_and_opened(page: Page) -> None:
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("4 runs,")).to_be_visible()
    before = _picture(page, "Mean measured exponent").get_attribute("src")
    _choose(page, "Quantity", "weight")
    _changed(page, "Mean measured exponent", before)
    tables = page.get_by_test_id("stDataFrame").count()
    page.get_by_role("button", name="bce, sigmoid:").click()
    expect(page.get_by_test_id("stDataFrame")).to_have_count(tables + 1)
    second = page.get_by_role("combobox", name="Run 2")
    second.click()
    before = page.locator('img[alt^="Density of the size"]').nth(1).get_attribute("src")
    page.get_by_role("option").nth(3).click()
    expect(page.locator('img[alt^="Density of the size"]').nth(1)).not_to_have_attribute("src", str(before))
    _settled(page)
    page.set_viewport_size({"width": 1280, "height": 2600})
    page.screenshot(path=IMAGES / "explorer_runs.png")


def test_a_phone_in_the_dark(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 1600}, color_scheme="dark")
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    expect(_picture(page, "Predicted density")).to_be_visible(timeout=PATIENCE)
    _settled(page)
    page.screenshot(path=IMAGES / "explorer_phone.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert max(int(part) for part in colour[4:-1].split(",")[:3]) < 60
    page.close()


def test_the_code_that_is_offered_runs() -> None:
    for exponent, activation, loss in ((1.5, None, None), (1.2, "tanh", None), (1.5, None, "mse")):
        subprocess.run([sys.executable, "-c", code(exponent, activation, loss)], check=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--port", "80"], "--port must be from 1024"), (["nowhere"], "there is no folder")],
)
def test_bad_input_is_refused(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(app, ["explore", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_only_this_computer_is_served() -> None:
    assert "--server.address=127.0.0.1" in command(None, 8501, headless=True)
