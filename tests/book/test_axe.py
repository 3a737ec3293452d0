"""Every page in a browser: accessible, without a fault in the console, a request to the network or
a sideways scroll on a phone.

axe-core (Deque) looks for what keeps people with a keyboard, a magnifier or a screen reader out.
Nothing of impact serious or critical may be left, in the light and in the dark theme, with
everything that folds unfolded.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, NamedTuple

import pytest

from tools.site import toc_entries

# Rules that the theme breaks and this book cannot mend, each with the reason. What could be mended
# is: in book/_static/accessibility.js and book.css.
THEME_ALONE: dict[str, str] = {}

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf8")
OPTIONS = {
    # Themes differ in nothing but color, and looking is slow: the rest is looked at once.
    "light": {"rules": {"label-content-name-mismatch": {"enabled": True}}},
    "dark": {"runOnly": ["color-contrast"]},
}
IN_THEME = """
    ([theme, options]) => {
        document.documentElement.dataset.theme = theme;
        return axe.run(document, {resultTypes: ["violations"], preload: false, ...options});
    }
"""
UNFOLD = """
    async () => {
        const style = document.createElement("style");
        style.textContent = "* { transition: none !important; animation: none !important; }";
        document.head.append(style);
        for (const details of document.querySelectorAll("details")) details.open = true;
        for (const title of document.querySelectorAll(".toggle-hidden > .admonition-title")) {
            title.click();
        }
        if (window.MathJax?.startup?.promise) await window.MathJax.startup.promise;
        // The theme waits before it lets the keyboard reach what scrolls: give it two seconds.
        const unreached = () => [...document.querySelectorAll("pre")].some(
            code => code.tabIndex < 0 && code.scrollWidth > code.clientWidth
        );
        for (let wait = 0; wait < 20 && unreached(); wait++) {
            await new Promise(done => setTimeout(done, 100));
        }
    }
"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Formulas in a sentence that are wider than their place and cannot be scrolled, after the window's
# own handlers have run.
CUT = """
    async () => {
        for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
        const width = (element) => element.getBoundingClientRect().width;
        return [...document.querySelectorAll("span.math:has(mjx-container)")]
            .filter(math => width(math.querySelector("mjx-container")) > width(math) + 1)
            .filter(math => getComputedStyle(math).overflowX !== "auto" || math.tabIndex < 0)
            .map(math => math.textContent);
    }
"""
DESKTOP, PHONE = 1280, 390
PAGES = [*toc_entries(), "search", "genindex"]
ON_A_PHONE = [name for name in PAGES if name.endswith(("book/index", "learning-to-learn"))]


class Visit(NamedTuple):
    """What one visit to a page met."""

    violations: list[str]  # of axe, each with the theme it was met in
    errors: list[str]  # of the console, and uncaught ones
    outside: list[str]  # addresses that the page asked for on other machines
    sideways: int  # pixels that the page is wider than a phone
    cut: list[str]  # formulas whose end a phone never shows


def serious(result: dict[str, Any]) -> list[str]:
    """The violations of a result of axe that count, one line for each place."""
    return [
        f"{rule['id']} ({rule['impact']}) at {node['target']}: {node['html'][:120]}"
        for rule in result["violations"]
        if rule["impact"] in {"serious", "critical"} and rule["id"] not in THEME_ALONE
        for node in rule["nodes"]
    ]


def visit(browser, url: str, width: int = DESKTOP) -> Visit:
    """Open a page, unfold everything, look at it in both themes, and make the window a phone."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    home = url.split("/")[2] if url.startswith("http") else ""
    errors: list[str] = []
    outside: list[str] = []

    def on_request(request) -> None:
        if request.url.startswith("http") and request.url.split("/")[2] != home:
            outside.append(request.url)

    page.on("request", on_request)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(url, wait_until="load")
    page.evaluate(UNFOLD)
    met = list(errors)  # what axe itself causes does not count
    page.evaluate(AXE)
    violations = []
    for theme, options in OPTIONS.items():
        result = page.evaluate(IN_THEME, [theme, options])
        violations += [f"{theme}: {fault}" for fault in serious(result)]
    page.set_viewport_size({"width": PHONE, "height": 844})
    sideways, cut = page.evaluate(SIDEWAYS), page.evaluate(CUT)
    page.close()
    return Visit(violations, met, outside, sideways, cut)


@pytest.mark.site
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_whole_and_offline(browser, address, name):
    met = visit(browser, f"{address}{name}.html")
    assert met.violations == []
    assert met.errors == []
    assert met.outside == []
    assert met.sideways <= 0, "wider than a phone"
    assert met.cut == []


@pytest.mark.site
@pytest.mark.parametrize("name", ON_A_PHONE)
def test_a_page_is_accessible_on_a_phone(browser, address, name):
    assert visit(browser, f"{address}{name}.html", width=PHONE).violations == []


# --- that these tests can fail

GOOD = """<!DOCTYPE html><html lang="en"><head><title>Page</title></head><body><main><h1>Page</h1>
<p>Text with a <a href="#x" id="x">link</a>.</p></main></body></html>"""


@pytest.fixture
def visited(browser, tmp_path):
    """Visit a page made of this text."""

    def look(text: str) -> Visit:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf8")
        return visit(browser, path.as_uri())

    return look


@pytest.mark.site
def test_a_good_page_passes(visited):
    assert visited(GOOD) == Visit([], [], [], 0, [])


@pytest.mark.site
@pytest.mark.parametrize(
    ("rule", "piece"),
    [
        ("image-alt", "<img src='data:,'>"),
        ("color-contrast", "<p style='color: #bbb; background: #fff'>faint</p>"),
        ("button-name", "<button></button>"),
        ("summary-name", "<details><summary></summary>text</details>"),
        ("label", "<input type='checkbox'>"),
        (
            "color-contrast",
            "<details><summary>More</summary><p style='color: #ccc'>faint</p></details>",
        ),
        ("label-content-name-mismatch", "<button aria-label='Find'>Search all</button>"),
    ],
)
def test_a_violation_is_found(visited, rule, piece):
    violations = visited(GOOD.replace("</main>", f"{piece}</main>")).violations
    themes = ["light", "dark"] if rule == "color-contrast" else ["light"]
    assert [v.split(" (")[0] for v in violations] == [f"{theme}: {rule}" for theme in themes]


@pytest.mark.site
def test_a_violation_of_one_theme_only_is_found(visited):
    style = "<style>html[data-theme=dark] h1 { color: #222; background: #111; }</style></head>"
    (violation,) = visited(GOOD.replace("</head>", style)).violations
    assert violation.startswith("dark: color-contrast")


@pytest.mark.site
@pytest.mark.parametrize(
    "script", ["console.error('no')", "nowhere()", "const a = 1; </script><script>const a = 2;"]
)
def test_an_error_of_a_script_is_found(visited, script):
    assert visited(GOOD.replace("</head>", f"<script>{script}</script></head>")).errors


@pytest.mark.site
def test_a_request_to_the_network_is_found(visited):
    page = GOOD.replace("</head>", "<script src='https://example.org/a.js'></script></head>")
    assert visited(page).outside == ["https://example.org/a.js"]


@pytest.mark.site
def test_a_page_too_wide_for_a_phone_is_found(visited):
    page = GOOD.replace("</main>", "<pre style='width: 600px'>wide</pre></main>")
    assert visited(page).sideways > 0


@pytest.mark.site
def test_a_formula_that_a_phone_cuts_is_found(visited):
    formula = (
        "<p><span class='math' style='display: inline-flex; max-width: 100%; overflow: hidden'>"
        "<mjx-container style='min-width: 600px'>x = y</mjx-container></span></p></main>"
    )
    assert visited(GOOD.replace("</main>", formula)).cut == ["x = y"]
    scrolls = formula.replace("hidden'>", "auto hidden' tabindex='0'>")
    assert visited(GOOD.replace("</main>", scrolls)).cut == []
