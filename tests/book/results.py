"""What a measured result looks like when somebody types it: a decimal or a percentage.

Numbers on a page are glued from the lab that measured them. :func:`typed_results` finds the ones
that were typed into running text; hand-worked numbers stand in maths and literals in code, which
are no running text.
"""

from __future__ import annotations

import re

from tests.book.sources import prose

NUMBER_WORD = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|"
    "fifty|sixty|seventy|eighty|ninety|hundred"
)
PER_HUNDRED = r"(?:\\?%|percent\b|per cent\b|percentage points?\b|points?\b)"
RESULT = re.compile(
    rf"(?<![\w.])\d+(?:[.,]\d+)?[\s-]*{PER_HUNDRED}"  # 12 %, 12%, 12 percent, 12 points
    rf"|\b(?:{NUMBER_WORD})[\s-]+(?:percent\b|per cent\b|percentage points?\b)"
    r"|(?<![\w.])\d+\.\d+"  # 0.93
    r"|(?<![\w.,])0,\d+"  # 0,93
    r"|(?<![\w.)\]])\.\d+"  # .93
)

ALLOWED = re.compile(
    "|".join(
        (
            # versions: three numbers, or two after the name of what has a version
            r"\bv?\d+\.\d+\.\d+[\w.]*",
            r"\b(?:[Vv]ersions?|Python|PyTorch|TensorFlow|Keras|Jupyter Book|JupyterLab|MathJax|"
            r"Sphinx|Unicode|CLDR|WCAG|HTML|GPT|Llama)[ -]v?\d+\.\d+",
            # licenses
            r"\bCC0 \d\.\d|\bCC[ -]BY(?:-[A-Z]{2})*[ -]\d\.\d",
            r"\bApache(?: License)?,?(?: [Vv]ersion)? 2\.0",
            # places in a text
            r"\b(?:Section|Chapter|Exercise|Figure|Fig\.|Table|Equation|Theorem|Part)s? \d+\.\d+",
            # the level of an interval, which is chosen and not measured
            r"\b9[059]\s*(?:%|percent) (?:confidence |bootstrap |normal )?(?:interval|band|bar)s?",
        )
    )
)


def typed_results(page: str) -> list[str]:
    """The typed results of a page, each with its line number."""
    text = ALLOWED.sub("¤", prose(page))
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {' '.join(match.group().split())}"
        for match in RESULT.finditer(text)
    ]
