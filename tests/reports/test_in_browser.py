"""Pages in a real browser: what is wide is scrolled on a phone and nowhere else, and the text of pictures is read."""

import re
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


QUESTIONS = {
    "which activation and loss": r"Fluctuations of learning: softsign\+mse",
    "on which data": r"on moons",
    "how many samples": r"moons: [\d,]+ samples",
    "how many features": r"2 features",
    "which state": r"\b(EQUILIBRIUM|HELD_BY_DECAY|DRIFTING|NOT_STATIONARY|SADDLE|SEPARABLE|TOO_FEW)\b",
    "is it an equilibrium, and why": r"(local learning equilibrium\.|State (EQUILIBRIUM|HELD_BY_DECAY):) \w+",
    "which seed": r"[Ss]eed 0",
    "which version": r"critlearn \d+\.\d+",
    "what was measured": r"\|δq\|, the size of the change of each trainable variable",
    "at which learning rate": r"at learning rate 1\b",
    "over what axis": r"Over what axis samples",
    "how many fluctuations": r"[\d,]+ fluctuations in all",
    "how many exact zeros": r"(no|[\d,]+ are) exact zeros",
    "in which window": r"Windows chosen for each quantity by the fit, \d+\.\d to \d+\.\d decades",
    "which grade, for how many": r"\w+: \d of 6\.",
    "which exponent, with which error": r"hidden1\.weight δ−?\d\.\d+ \[−?\d\.\d+, −?\d\.\d+\] over \d+\.\d decades",
    "how errors were found": r"95% intervals from a bootstrap over groups of samples",
    "is it as predicted": r"\d of 6 variables are predicted: \d agree, \d disagree",
    "how it was trained": r"15 epochs, lr 0\.01, seed 0, accuracy \d+\.\d%",
    "how it is repeated": r"critlearn run two-class --activation softsign --loss mse --data moons",
}
"""What a first reader asks, and what an answer looks like on the page."""


def test_a_first_reader_finds_twenty_answers_on_the_first_two_screens(browser: Browser, pages: list[Path]) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(pages[0].as_uri())
    seen = page.evaluate(
        """() => [...document.querySelectorAll('h1, p, dt, dd')]
            .filter(part => part.getBoundingClientRect().bottom < 1800).map(part => part.innerText).join(' ')"""
    )
    page.close()
    missing = [question for question, answer in QUESTIONS.items() if not re.search(answer, seen.replace("\n", " "))]
    assert len(QUESTIONS) == 20
    assert missing == []


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
