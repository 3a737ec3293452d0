"""Sphinx extension: what is read as one stays in one line of the browser.

A number keeps its interval, its percent sign and its unit. A formula in a sentence keeps the comma
after it and the parenthesis before it, where browsers would otherwise break the line. And a link
does not underline the space before it.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

NO_BREAK = "\u00a0"
FORMULA = "\ufffc"  # stands for a formula or code where a text is searched
NUMBER = rf"(?:[-+\u2212]?\d(?:[\d.,]*\d)?|{FORMULA})"
TOGETHER = re.compile(
    rf"(?:{NUMBER} )?± {NUMBER}(?: %)?|{NUMBER} %"
    rf"|[\[(]{NUMBER}(?:,| to) {NUMBER}[\])]|{NUMBER} to {NUMBER}"
    rf"|{NUMBER} (?:s|ms|kB|MB|GB|Hz|dB)\b|\bFig\. \d"
)
BEFORE = re.compile(r"[(\[“‘]+$")
AFTER = re.compile(r"-\w*|[,.;:!?)\]’”]+")


def bind(parts: list[str]) -> list[str]:
    """The parts of a text, with spaces that no line breaks at inside what belongs together."""
    whole = "".join(parts)
    bound = TOGETHER.sub(lambda found: found[0].replace(" ", NO_BREAK), whole)
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    return [bound[end - len(part) : end] for part, end in zip(parts, ends, strict=True)]


def bind_numbers(element: nodes.TextElement) -> None:
    """Bind the numbers of a paragraph or a title, whatever nodes they are spread over."""
    texts = list(element.findall(nodes.Text))
    fixed = [any(isinstance(a, nodes.literal | nodes.math) for a in above(text)) for text in texts]
    parts = [FORMULA if keep else str(text) for text, keep in zip(texts, fixed, strict=True)]
    for text, keep, part in zip(texts, fixed, bind(parts), strict=True):
        if not keep and part != str(text):
            text.parent.replace(text, nodes.Text(part))


def above(node: nodes.Node) -> list[nodes.Node]:
    """The inline elements that a text stands in."""
    found = []
    while isinstance(node.parent, nodes.Inline):
        node = node.parent
        found.append(node)
    return found


def bind_formula(formula: nodes.math) -> None:
    """Put a formula and the punctuation that touches it into an element that does not break."""
    parent = formula.parent
    place = parent.index(formula)
    first, last, inside = place, place + 1, [formula]
    before = parent[place - 1] if place else None
    if isinstance(before, nodes.Text) and (found := BEFORE.search(before)):
        inside.insert(0, nodes.Text(found[0]))
        parent[place - 1] = nodes.Text(before[: found.start()])
    after = parent[last] if last < len(parent) else None
    if isinstance(after, nodes.Text) and (found := AFTER.match(after)):
        inside.append(nodes.Text(found[0]))
        parent[last] = nodes.Text(after[found.end() :])
    if len(inside) > 1:
        parent[first:last] = [nodes.inline("", "", *inside, classes=["together"])]


class Together(SphinxPostTransform):
    """Keep numbers and formulas together, after all references and numbers are filled in."""

    default_priority = 990
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for link in list(self.document.findall(nodes.reference)):
            if len(link) and isinstance(link[0], nodes.Text) and link[0].startswith(" "):
                link[0] = nodes.Text(link[0].lstrip())
                link.parent.insert(link.parent.index(link), nodes.Text(" "))
        for element in list(self.document.findall(nodes.TextElement)):
            if not isinstance(element, nodes.Inline | nodes.FixedTextElement):
                bind_numbers(element)
        for formula in list(self.document.findall(nodes.math)):
            bind_formula(formula)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_post_transform(Together)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
