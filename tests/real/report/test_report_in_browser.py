"""The page in headless Chromium: it loads without a complaint, and what hosts sent is text."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from ddcplay.reporting import ReportScope, read_study, write_report

pytestmark = pytest.mark.real
EVIL = "<img src=x onerror=alert(1)></title></svg><script>alert(2)</script>\"'&\u202e"
SECTIONS = [
    "todo", "table1", "availability", "time", "week", "uptimes", "reasons", "probes", "offenders", "slowest",
    "gaps",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="the playwright package is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def study(school):
    return read_study(school.directory, None, ReportScope(rooms=school.rooms))


@pytest.fixture
def show(browser, tmp_path):
    """Open a study; returns the page and everything the browser said or asked for."""
    pages = []

    def open_page(study, **options):
        file = tmp_path / "report.html"
        write_report(study, file, 0.0)
        page = browser.new_page(**options)
        pages.append(page)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: said.append(request.url) if request.url != file.as_uri() else None)
        page.goto(file.as_uri())
        return page, said

    yield open_page
    for page in pages:
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_loads_without_a_complaint_and_has_its_sections(show, study, scheme):
    page, said = show(study, color_scheme=scheme)
    assert said == []
    assert page.eval_on_selector_all("section", "all => all.map(each => each.id)") == SECTIONS


def test_what_to_do_stands_first_and_above_the_fold(show, study):
    page, _said = show(study, viewport={"width": 1280, "height": 900})
    assert page.locator("section").first.bounding_box()["y"] < 250


def test_dark_and_light_differ_and_both_can_be_read(show, study):
    contrast = """() => { const style = getComputedStyle(document.body);
        const light = text => { const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b };
        const [a, b] = [light(style.color), light(style.backgroundColor)];
        return [b, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)] }"""
    found = {scheme: show(study, color_scheme=scheme)[0].evaluate(contrast) for scheme in ("light", "dark")}
    assert found["light"][0] > 0.8
    assert found["dark"][0] < 0.05
    assert min(ratio for _back, ratio in found.values()) > 7


def test_a_phone_needs_no_sideways_scrolling(show, study):
    page, _said = show(study, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_every_picture_has_a_name_and_numbers_for_those_who_cannot_see_it(show, study):
    page, _said = show(study)
    assert page.locator("svg").count() >= 6
    assert page.locator("svg:not([role=img][aria-label])").count() == 0
    assert page.locator("svg > title").count() == page.locator("svg").count()
    for section in ("availability", "time", "week", "uptimes"):
        details = page.locator(f"#{section} details").first
        details.locator("summary").click()
        assert details.locator("tbody tr").first.is_visible()


def test_it_prints_without_what_only_a_screen_needs(show, study):
    page, _said = show(study)
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    back = page.evaluate("getComputedStyle(document.body).color")
    assert back == "rgb(28, 33, 39)"  # dark ink on paper, whatever the screen likes
    assert page.pdf(format="A4")[:4] == b"%PDF"


def test_hostile_names_and_outputs_are_text(show, study):
    summary = study.summary
    evil = replace(
        study,
        summary=replace(
            summary,
            experiment=EVIL,
            play=EVIL,
            timezone=EVIL,
            tasks=tuple(
                replace(task, title=EVIL, fix=EVIL, detail=EVIL, hosts=(EVIL,)) for task in summary.tasks
            ),
            probes=tuple(replace(line, probe=EVIL) for line in summary.probes),
            reasons=tuple(
                replace(line, advice=EVIL, example=EVIL, hosts=(EVIL,)) for line in summary.reasons
            ),
            offenders=tuple(replace(each, host=EVIL, room=EVIL) for each in summary.offenders),
            slowest=tuple(replace(each, host=EVIL, room=EVIL, probe=EVIL) for each in summary.slowest),
        ),
        rooms=tuple((EVIL, hosts) for _room, hosts in study.rooms),
    )
    page, said = show(evil)
    assert said == []
    assert page.locator("img, script").count() == 0
    assert "<script>alert(2)</script>" in page.locator("h1").inner_text()
    assert page.eval_on_selector_all("section", "all => all.map(each => each.id)") == SECTIONS
