"""The built book in a real browser: every page, light and dark, on a desktop and on a phone."""

import importlib.util
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build/html"
spec = importlib.util.spec_from_file_location("browser_tool", ROOT / "tools/browser.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
FILES = [TOC["root"]] + [f for part in TOC["parts"] for c in part["chapters"] for f in (c["file"], *(s["file"] for s in c.get("sections", [])))]
PAGES = [f"{file}.html" for file in FILES] + ["search.html", "genindex.html"]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(tool.find() is None, reason="no Chromium or Chrome on this machine")]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert HTML.is_dir(), "build the book first: make book"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tool.find(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe():
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def open_page(browser, page):
    """A page once its formulas stand; whatever it complained about or asked other hosts for is in ``faults``."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    tab.faults = []
    tab.on("console", lambda message: tab.faults.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    tab.on("request", lambda request: tab.faults.append(f"asks {request.url}") if not request.url.startswith(("file:", "data:", "blob:")) else None)
    tab.on("requestfailed", lambda request: tab.faults.append(f"failed {request.url}"))
    tab.goto((HTML / page).as_uri())
    tab.evaluate("async () => { if (window.MathJax && MathJax.startup) await MathJax.startup.promise }")
    return tab


@pytest.fixture(scope="module", params=PAGES)
def tab(browser, request):
    """Each page is opened once and looked at from several sides."""
    tab = open_page(browser, request.param)
    yield tab
    tab.close()


def set_theme(tab, theme):
    tab.evaluate(f"document.documentElement.dataset.theme = document.documentElement.dataset.mode = '{theme}'")
    tab.wait_for_timeout(50)


def test_a_page_works_from_a_file_without_other_hosts(tab):
    assert tab.faults == []
    assert tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)") == []
    raw = "[...document.querySelectorAll('main .math')].filter(e => !e.querySelector('mjx-container')).map(e => e.textContent)"
    assert tab.evaluate(raw) == []
    assert tab.evaluate("[...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent)") == []
    broken = """[...document.querySelectorAll('main a[href^="#"]')].map(a => a.getAttribute('href'))
        .filter(h => h.length > 1 && !document.getElementById(decodeURIComponent(h.slice(1))))"""
    assert tab.evaluate(broken) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_page_is_accessible(tab, axe, theme):
    set_theme(tab, theme)
    tab.evaluate(axe)
    found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [(v["id"], [(n["html"][:150], n["any"][0]["message"][:120] if n["any"] else "") for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []


def test_a_page_fits_a_phone(tab):
    tab.set_viewport_size({"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    cut = """[...document.querySelectorAll('main svg[role=img], main pre, main table, main mjx-container')].filter(e => {
        let box = e.getBoundingClientRect(); if (!box.width || box.right <= 361) return false;
        for (let p = e; p; p = p.parentElement) if (/auto|scroll/.test(getComputedStyle(p).overflowX)) return false;
        return true; }).map(e => e.outerHTML.slice(0, 120))"""
    assert tab.evaluate(cut) == [], "wider than the phone, and no way to scroll to it"


def test_a_slider_moves_its_figure(browser):
    tab = open_page(browser, "book/fashion_mnist.html")
    try:
        group = tab.locator(".vt-frames").first
        before, text = group.locator(".vt-frame:visible svg").get_attribute("aria-label"), group.locator("output").inner_text()
        group.locator("input").focus()
        tab.keyboard.press("ArrowLeft")  # it starts at the last epoch
        assert group.locator(".vt-frame:visible").count() == 1
        assert group.locator(".vt-frame:visible svg").get_attribute("aria-label") != before
        assert group.locator("output").inner_text() != text
        assert group.locator("input").get_attribute("aria-valuetext") == group.locator("output").inner_text()
    finally:
        tab.close()


def test_figures_follow_the_theme(browser):
    tab = open_page(browser, "book/kl.html")
    colors = []
    for theme in ("light", "dark"):
        set_theme(tab, theme)
        colors.append(tab.evaluate("getComputedStyle(document.querySelector('.vt-figure svg text')).fill"))
    tab.close()
    assert len(set(colors)) == 2
