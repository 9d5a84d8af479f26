"""Pages in a real browser: what is wide is scrolled on a phone and nowhere else, and the text of pictures is read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from critlearn.cli.main import app, exit_code
from critlearn.reports.page import report_page
from critlearn.studies import TwoClassConfig, run_two_class, write_run
from reference.chromium import chromium
from shape_checker import switched_off

LEAST_TEXT = 8.0
"""Pixels of the smallest text of a picture."""

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system."""
    with chromium("pages are") as started:
        yield started


@pytest.fixture(scope="module")
def pages(study: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Page of a network, with all its quantities, and page of a study."""
    config = TwoClassConfig(data="moons", activation="softsign", loss="mse", hidden=(8, 8), epochs=15)
    with switched_off():
        record = write_run(tmp_path_factory.mktemp("network"), run_two_class(config), report_page)
    assert exit_code(app, ["report", str(study)]) == 0
    return [Path(record["run_dir"]) / "report.html", study / "report.html"]


_WIDER = """() => [...document.querySelectorAll('.wide, .picture')]
    .filter(region => !region.closest('details') && region.scrollWidth > region.clientWidth)
    .map(region => region.innerText.slice(0, 40))"""
_SCALES = """() => [...document.querySelectorAll('figure img')].map(image => image.clientWidth / image.naturalWidth)"""


@pytest.mark.parametrize(("width", "media"), [(1280, "screen"), (718, "print")])
def test_everything_is_seen_on_a_screen_and_on_paper(
    width: int, media: str, browser: Browser, pages: list[Path]
) -> None:
    for path in pages:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.emulate_media(media=media)  # type: ignore[arg-type]
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(_WIDER) == []
        page.close()


def test_a_phone_scrolls_tables_but_not_the_page_and_pictures_are_read(browser: Browser, pages: list[Path]) -> None:
    for path in pages:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        # The smallest text, that of legends and titles, has 9 points, which are 12 pixels of a picture in its own size.
        assert min(12 * scale for scale in page.evaluate(_SCALES)) > LEAST_TEXT
        page.close()
