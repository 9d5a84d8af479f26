"""The explorer in a real browser: every tab is used, and its pictures change."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from critlearn.cli.main import app, exit_code
from critlearn.explorer.design_tab import code
from critlearn.explorer.server.start import command

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PATIENCE = 60_000

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def _picture(page: Page, alternative: str) -> Locator:
    return page.locator(f'[role="img"][aria-label^="{alternative}"]').first


def _choose(page: Page, label: str, option: str | re.Pattern[str]) -> None:
    # A page that is drawn again closes the list that has just been opened: a user would open it once more.
    for last in (False, False, False, True):
        _settled(page)
        page.get_by_role("combobox", name=re.compile(label)).first.click()
        try:
            chosen = page.get_by_role("option", name=option, exact=isinstance(option, str))
            chosen.click(timeout=PATIENCE if last else PATIENCE / 6)
        except TimeoutError:
            if last:
                raise
            page.keyboard.press("Escape")
        else:
            return


def _changed(page: Page, alternative: str, before: str | None) -> None:
    expect(_picture(page, alternative)).not_to_have_attribute("data-made", str(before))


def _settled(page: Page) -> None:
    """Wait until the page is no longer being drawn, and nothing on it is of before."""
    for _ in range(2):
        # What was just done reaches the server a moment later.
        page.wait_for_timeout(300)
        expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.locator('[data-stale="true"]')).to_have_count(0)


def _photographed(page: Page, name: str, height: int) -> None:
    page.set_viewport_size({"width": page.viewport_size["width"], "height": height})
    _settled(page)
    page.screenshot(path=IMAGES / name)


_TEXTS = """() => {
  const parts = text => { const p = text.match(/[\\d.]+/g).map(Number); return p.length < 4 ? [...p, 1] : p };
  const over = (top, below) => below.map((value, i) => top[3] * top[i] + (1 - top[3]) * value);
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    // The value of a slider stands over its handle, not on it, and is looked at by itself.
    if (!walker.currentNode.data.trim() || box.width < 2 || style.visibility != "visible") continue;
    if (element.closest('[data-testid="stSliderThumbValue"], [disabled]')) continue;
    let opacity = 1, grounds = [];
    for (let at = element; at; at = at.parentElement) {
      opacity *= getComputedStyle(at).opacity;
      grounds.unshift(parts(getComputedStyle(at).backgroundColor));
    }
    const ground = grounds.reduce((below, top) => over(top, below), [255, 255, 255]);
    const ink = parts(element instanceof SVGElement ? style.fill : style.color);
    const seen = [...ink.slice(0, 3), ink[3] * opacity];
    if (opacity) found.push([walker.currentNode.data.trim(), over(seen, ground), ground]);
  }
  return found;
}"""
"""Every text on the page with its colour and that of what is behind it."""


def _contrast(*colours: list[float]) -> float:
    """Contrast of two colours as WCAG 2 defines it."""
    light = []
    for colour in colours:
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in np.divide(colour, 255)
        ]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def _assert_readable(page: Page) -> None:
    # What is drawn anew fades until it is.
    _settled(page)
    texts = page.evaluate(_TEXTS)
    assert len(texts) > 20
    assert [(text, colour) for text, colour, ground in texts if _contrast(colour, ground) < 4.5] == []


def test_compose_predicts_at_once_and_samples(page: Page) -> None:
    expect(page.get_by_text("kappa = 4/3")).to_be_visible()
    before = _picture(page, "Predicted density").get_attribute("data-made")
    _choose(page, "Activation", "tanh")
    _changed(page, "Predicted density", before)
    expect(page.get_by_text("Caustic: fold")).to_be_visible()
    expect(page.locator(".katex-display")).to_have_count(6)
    before = _picture(page, "Predicted density").get_attribute("data-made")
    page.get_by_role("button", name="Sample 20,000 inputs").click()
    _changed(page, "Predicted density", before)
    _photographed(page, "explorer_compose.png", 2000)


def test_only_the_tab_in_view_is_drawn_and_controls_keep_their_values(page: Page) -> None:
    expect(_picture(page, "Loss and error signal")).to_have_count(0)
    slider = page.get_by_role("slider", name="Weight w")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("4.1")
    _settled(page)
    after = _picture(page, "Predicted density").get_attribute("data-made")
    page.get_by_role("tab", name="Design").click()
    expect(_picture(page, "Loss and error signal")).to_be_visible()
    _settled(page)
    expect(_picture(page, "Predicted density")).to_have_count(0)
    page.get_by_role("tab", name="Compose").click()
    expect(_picture(page, "Predicted density")).to_have_attribute("data-made", str(after))
    expect(slider).to_have_value("4.1")


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


@pytest.mark.parametrize(
    ("control", "given", "said"),
    [
        ("Activation", "nan*y", 'activation "nan*y": '),
        ("Activation", "__import__('os')", "activation \"__import__('os')\": "),
        ("Activation", "$x$ y `z`", 'activation "$x$ y `z`": '),
        ("Density of the input x", "/etc/passwd", '"0.3*normal(0,1)+0.7*t(3)"'),
    ],
)
def test_what_was_typed_is_told_as_it_was_typed(page: Page, control: str, given: str, said: str) -> None:
    _choose(page, control, "expression …")
    field = page.get_by_role("textbox", name=f"{control}: expression")
    field.fill(given)
    field.press("Enter")
    expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
    expect(page.get_by_role("alert").locator(".katex, em, strong, code")).to_have_count(0)


def test_a_long_computation_is_shown_and_given_up(page: Page) -> None:
    _choose(page, "Activation", "expression …")
    field = page.get_by_role("textbox", name="Activation: expression")
    field.fill("tanh(y)+0.001*sin(1000*y)")
    field.press("Enter")
    ends = ("given up after 20 seconds, which is", "With these inputs", "oscillates too fast to be followed")
    found = page.get_by_text(re.compile("|".join(ends)))
    # A machine that answers at once, or a browser that is late, shows the answer alone.
    expect(page.get_by_text("Computing the prediction").or_(found).first).to_be_visible()
    expect(found.first).to_be_visible()
    expect(page.get_by_text("Computing the prediction")).to_have_count(0)


def test_design_by_keyboard(page: Page) -> None:
    page.get_by_role("tab", name="Compose").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_text("made = design(1.5)")).to_be_visible()
    before = _picture(page, "Loss and error signal").get_attribute("data-made")
    page.get_by_role("slider", name="Exponent k").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    _changed(page, "Loss and error signal", before)
    expect(page.get_by_text("made = design(1.75)")).to_be_visible()
    _photographed(page, "explorer_design.png", 1000)


def test_runs_are_filtered_opened_and_compared(page: Page) -> None:
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("5 runs,")).to_be_visible()
    expect(page.get_by_role("combobox", name=re.compile("Run 1"))).to_have_value(
        re.compile(r"sigmoid\+bce · uniform\(-0.3,2.3\) · seed 0 · ")
    )
    _settled(page)
    tables = page.get_by_test_id("stDataFrame").count()
    # Upper left of a chart whose columns are softsign's and sigmoid's, its rows those of the losses.
    chart = page.get_by_test_id("stVegaLiteChart")
    chart.locator("canvas, svg").first.click(position={"x": 700, "y": 20})
    expect(page.get_by_test_id("stDataFrame")).to_have_count(tables + 1)
    expect(page.get_by_role("combobox", name=re.compile("^Cell|, Cell"))).to_have_value(re.compile("^bce, softsign: "))
    before = page.locator('[role="img"][aria-label^="Density of the size"]').nth(1).get_attribute("data-made")
    page.get_by_role("button", name="Show as run 2").click()
    expect(page.get_by_role("combobox", name=re.compile("Run 2"))).to_have_value(
        re.compile(r"softsign\+bce · .* seed 0")
    )
    expect(page.locator('[role="img"][aria-label^="Density of the size"]').nth(1)).not_to_have_attribute(
        "data-made", str(before)
    )
    _photographed(page, "explorer_runs.png", 2800)


def test_cells_and_quantities_are_chosen_from_lists(page: Page) -> None:
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("5 runs,")).to_be_visible()
    words = page.get_by_label(re.compile("Mean measured exponent of bias over loss and activation. bce, sig"))
    expect(words.first).to_be_attached()
    tables = page.get_by_test_id("stDataFrame").count()
    _choose(page, "^Cell|, Cell", re.compile("^bce, softsign: "))
    expect(page.get_by_test_id("stDataFrame")).to_have_count(tables + 1)
    before = page.locator('[role="img"][aria-label^="Density of the size"]').first.get_attribute("data-made")
    _choose(page, "Quantity of both", "weight")
    expect(page.locator('[role="img"][aria-label^="Density of the size"]').first).not_to_have_attribute(
        "data-made", str(before)
    )
    expect(page.locator('[role="img"][aria-label^="Density of the size of the fluctuations of weight"]')).to_have_count(
        2
    )


def test_a_run_is_explained(page: Page) -> None:
    page.get_by_role("tab", name="Explain").click()
    picture = _picture(page, "Parts of the exponents of each variable")
    expect(picture).to_be_visible()
    expect(page.get_by_text("bias: the composition alone would give").first).to_be_visible()
    expect(page.get_by_text("A level agrees if its Kolmogorov-Smirnov distance")).to_be_visible()
    _photographed(page, "explorer_explain.png", 1500)
    before = picture.get_attribute("data-made")
    _choose(page, "Run to explain", re.compile(r"softsign\+mse"))
    _changed(page, "Parts of the exponents of each variable", before)


def test_a_phone_in_the_dark(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 1600}, color_scheme="dark")
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    expect(_picture(page, "Predicted density")).to_be_visible(timeout=PATIENCE)
    _photographed(page, "explorer_phone.png", 1600)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert max(int(part) for part in colour[4:-1].split(",")[:3]) < 60
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("5 runs,")).to_be_visible()
    _settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_that_is_written_can_be_read(browser: Browser, address: str, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    for tab, picture in (("Compose", "Predicted density"), ("Design", "Loss and error"), ("Explain", "Parts of the")):
        page.get_by_role("tab", name=tab).click()
        expect(_picture(page, picture)).to_be_visible(timeout=PATIENCE)
        _settled(page)
        _assert_readable(page)
    page.get_by_role("tab", name="Compose").click()
    _settled(page)
    value = page.get_by_test_id("stSliderThumbValue").first.evaluate("element => getComputedStyle(element).color")
    ground = page.get_by_test_id("stApp").evaluate("element => getComputedStyle(element).backgroundColor")
    assert (
        _contrast(*([float(part) for part in re.findall(r"[\d.]+", colour)[:3]] for colour in (value, ground))) >= 4.5
    )
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
