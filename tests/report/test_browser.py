"""The page in a real browser: sorted, themed, quiet, whole on a phone."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import Page, sync_playwright

from steelyard import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Request

    from steelyard.studies.store import Store

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        yield started
        started.close()


class Opened:
    """A page with all that it complained of and asked for."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.on("request", self.note)
        page.goto(address)

    def note(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requests.append(request.url)


@pytest.fixture(scope="module")
def address(store: Store) -> str:
    report.write(store)
    return (store.folder / "report.html").as_uri()


@pytest.fixture(params=[(1280, 900, "light"), (390, 844, "dark")], ids=["desktop", "phone"])
def opened(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Opened]:
    width, height, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    found = Opened(context.new_page(), address)
    yield found
    assert found.complaints == []
    assert found.requests == [address] * len(found.requests)  # itself and nothing else, however often
    context.close()


def first_cells(page: Page) -> list[str]:
    return page.locator("table.methods tbody.trained th .name > span:first-of-type").all_inner_texts()


def test_the_table_sorts_both_ways_and_from_the_keyboard(opened: Opened) -> None:
    page = opened.page
    header = page.locator("table.methods thead th").nth(1)
    header.locator("button").click()
    assert header.get_attribute("aria-sort") == "ascending"  # fewest false alarms first
    assert first_cells(page) == ["low(lam=0.1)", "balanced-ce", "ce"]
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert first_cells(page) == ["ce", "balanced-ce", "low(lam=0.1)"]
    name = page.locator("table.methods thead th").first
    name.locator("button").click()
    assert header.get_attribute("aria-sort") is None
    assert first_cells(page) == ["balanced-ce", "ce", "low(lam=0.1)"]
    assert page.locator("table.methods tbody.free tr").first.get_attribute("class") == "divider"


def test_the_theme_toggles_and_is_remembered(opened: Opened) -> None:
    page = opened.page

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    before = background()
    page.locator("#theme").click()
    after = background()
    assert after != before
    page.reload()
    assert background() == after


def test_figures_of_the_summary_are_on_the_page(opened: Opened, store: Store) -> None:
    summary = json.loads((store.folder / "summary.json").read_text(encoding="utf-8"))
    text = opened.page.locator("main").inner_text().replace("\N{NO-BREAK SPACE}", " ")
    assert summary["headline"] in text
    for row in summary["methods"]:
        for column in summary["measures"]:
            mean = row["cells"][column["key"]]["mean"]
            assert (f"{100 * mean:.1f}" if column["percent"] else f"{mean:.3f}") in text
    for one in summary["comparisons"]:
        column = next(column for column in summary["measures"] if column["key"] == one["measure"])
        figure = (
            f"{100 * abs(one['difference']):.1f}" if column["percent"] else f"{abs(one['difference']):.3f}"
        )
        assert figure in text


def test_a_class_named_like_a_script_is_text(opened: Opened) -> None:
    found = opened.page.get_by_text("<script>alert(1)</script>").all()
    assert len(found) > 3
    assert opened.page.locator("script").count() == 1


def test_nothing_sticks_out_sideways(opened: Opened) -> None:
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("details.small > summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_stands_out_from_its_ground(opened: Opened) -> None:
    """WCAG AA: 4.5 to 1 for text and its softer shade, 3 to 1 for lines and marks, in both themes."""
    page = opened.page
    for _ in range(2):
        colours = page.evaluate(
            """names => {
                const style = getComputedStyle(document.documentElement);
                return Object.fromEntries(names.map(name => [name, style.getPropertyValue("--" + name)]));
            }""",
            ["page", "surface", "ink", "muted", "accent", *(f"s{series}" for series in range(7))],
        )
        for ground in ("page", "surface"):
            for name in ("ink", "muted", "accent"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
            for series in range(7):
                assert contrast(colours[f"s{series}"], colours[ground]) >= 3, (series, ground)
        page.locator("#theme").click()


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_paper_shows_every_section(opened: Opened) -> None:
    page = opened.page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.set_viewport_size({"width": 680, "height": 900})  # A4 between its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 680


@pytest.fixture(scope="module")
def ranks_address(build: Callable[..., Store], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("several")
    skill = {"ce": 3.0, "low(lam=0.1)": 2.0, "balanced-ce": 1.0}  # no two average ranks are equal
    stores = [
        build(folder / "a", name="<script>alert(1)</script>", seeds=1, failed=(), pictures=False),
        build(folder / "b", name="digits", seeds=1, failed=(), pictures=False, skill=skill),
    ]
    report.write_ranks(stores, folder / "ranks")
    return (folder / "ranks" / "report.html").as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["desktop", "phone"])
def test_the_page_over_several_studies(
    browser: Browser, ranks_address: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened = Opened(context.new_page(), ranks_address)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert "average rank" in (page.locator("[role=img]").first.get_attribute("aria-label") or "")
    names = page.locator("table.methods tbody th .name > span:first-of-type")
    by_rank = names.all_inner_texts()
    header = page.locator("table.methods thead th").nth(1)
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert names.all_inner_texts() == by_rank[::-1]
    assert page.locator("script").count() == 1
    page.get_by_role("link", name="<script>alert(1)</script>").click()
    assert page.locator("h1").inner_text() == "<script>alert(1)</script>"
    assert opened.complaints == []
    assert all(address.startswith("file:") for address in opened.requests)
    context.close()
