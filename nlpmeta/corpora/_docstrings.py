"""From a docstring to its clean sentences, each with the section that it stands in.

``paragraphs`` reads a docstring line by line, drops what is not prose (doctests, tables, literal
blocks, headings, parameter names) and says which section each paragraph stands in, for docstrings
in the styles of NumPy, Google and Sphinx. ``read`` cleans and splits them (see ``_prose``). Written
with ASCII patterns and without ``inspect.cleandoc``, so that each Python version gives the same.
Exports these two and ``SECTIONS``.
"""

import re

from nlpmeta.corpora._prose import ascii_re as _re
from nlpmeta.corpora._prose import is_clean, plain, sentences

SECTIONS = ("summary", "description", "parameters", "returns", "raises", "notes", "examples")

_HEADINGS = {
    "parameters": "parameters|other parameters|attributes|args|arguments|keyword arguments|"
    "keyword args|kwargs|inputs|params|keyword parameters|properties|options",
    "returns": "returns|return|yields|outputs|return value",
    "raises": "raises|warns|exceptions",
    "notes": "notes|note|warnings|warning|implementation notes|important|remarks|shape",
    "examples": "examples|example|usage|examples of usage",
    "description": "explanation|description|overview|introduction|definition|explanations",
    "": "references|reference|see also|methods|bibliography|authors|author|source|license|"
    "copyright|acknowledgements|functions|classes|citation|attribution|routine listings",
}
SECTION_OF = {name: key for key, names in _HEADINGS.items() for name in names.split("|")}

_ADMONITION = _re(
    r"\.\. ?(?:note|warning|important|tip|caution|attention|hint|admonition|danger) ?::? *(.*)",
    re.I,
)
_MARKUP_LINE = _re(r"\.\. |\.\.$|:\w[^:]*:(?: |$)|!!! ")
_FIELD = _re(r":(param|parameter|arg|key|keyword|returns?|raises?|except)\b[^:]*: *(.*)")
_FIELD_SECTION = {"return": "returns", "returns": "returns", "raise": "raises", "raises": "raises"}
RULE = _re(r"([-=~^\"*#+`.:_'])\1{2,}$")
_TABLE = _re(r"[-=]{2,}(?: +[-=]{2,})+$|\+[-=+ ]+\+$|\|")
_BULLET = _re(r"(?:[-*+\u2022\u00b7]|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]{1,4}|#)[.)]|\[\d+\]) +(?=\S)")
_TERM = _re(r"[`*\\\w][^:]{0,80}? ?:(?: |$)")
_GOOGLE_TERM = _re(r"\*{0,2}[`\w.\[\]*|/-]+(?:, *[`\w.*]+)*(?: *\(.{0,300}?\))? *:(?: +|$)")
_GOOGLE_HEADING = _re(r"\**([A-Z][a-z]+(?: [A-Za-z]+){0,2})\**(:{1,2})\**$")
_SIGNATURE = _re(r".*->|[\w.]+\(.*\)$|[\w.]+\([^)]*$")
_FENCE = ("```", "~~~")
_LEGAL = _re(r"Redistribution and use|All rights reserved|Permission is hereby|WITHOUT WARRANT")


def dedent(docstring: str) -> list[str]:
    """Split a docstring into lines without their common margin (the first line has none)."""
    lines = docstring.replace("\r\n", "\n").expandtabs(8).split("\n")
    margin = min((len(s) - len(s.lstrip(" ")) for s in lines[1:] if s.strip(" ")), default=0)
    return [lines[0].strip(" ")] + [line[margin:].rstrip(" ") for line in lines[1:]]


def paragraphs(docstring: str) -> list[tuple[str, str]]:
    """Give the prose paragraphs of a docstring, each with the section that it stands in.

    Doctests, literal blocks, directives, tables, headings, the terms of parameter lists and the
    sections that hold references or links are left out; a list item is a paragraph of its own.

    Parameters
    ----------
    docstring : str

    Returns
    -------
    list of (str, str)
        Section (one of ``SECTIONS``) and text, markup inside the text not yet removed.

    Examples
    --------
    >>> paragraphs("Add.\\n\\n    Parameters\\n    ---\\n    x : int\\n        A number.\\n")
    [('summary', 'Add.'), ('parameters', 'A number.')]
    """
    return _Reader(dedent(docstring)).read()


class _Reader:
    """A line-by-line reader; `scopes` holds the indented sections that are open, innermost last."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.found: list[tuple[str, str]] = []
        self.buffer: list[str] = []
        self.buffer_indent = 0
        self.bullet = False
        self.section = "description"
        self.base = 0  # indentation of the terms of a parameter list
        self.scopes: list[tuple[int, str]] = []
        self.skip: int | None = None  # drop what is indented deeper than this
        self.term_indent: int | None = None

    def read(self) -> list[tuple[str, str]]:
        i = 0
        while i < len(self.lines):
            i += self.line(i)
        self.flush()
        return self.found

    def flush(self) -> None:
        """Close the paragraph that is being collected."""
        text = " ".join(self.buffer)
        self.buffer, self.bullet = [], False
        section = self.scopes[-1][1] if self.scopes else self.section
        if not text or not section:
            return
        if not self.found and section == "description":
            if _SIGNATURE.match(text):
                return
            section = "summary"
        self.found.append((section, text))

    def open(self, text: str, indent: int) -> None:
        """Start a paragraph whose later lines are indented deeper than its first."""
        if text:
            self.buffer, self.buffer_indent, self.bullet = [text], indent, True

    def line(self, i: int) -> int:
        """Read line `i`; give the number of lines that are done with."""
        raw = self.lines[i]
        text = raw.strip(" ")
        indent = len(raw) - len(raw.lstrip(" "))
        if not text:
            self.flush()
            return 1
        if self.skip is not None:
            if indent > self.skip:
                return 1
            self.skip = None
        while self.scopes and indent <= self.scopes[-1][0]:
            self.flush()
            self.scopes.pop()
            self.term_indent = None
        return self.block(i, text, indent) or self.prose(i, text, indent)

    def block(self, i: int, text: str, indent: int) -> int:
        """Read a line that opens something else than prose; 0 if it does not."""
        if not text[0].isalnum() and (done := self.markup(i, text, indent)):
            return done
        if text.startswith("In ["):
            self.flush()
            return self.until_blank(i)
        following = self.lines[i + 1].strip(" ") if i + 1 < len(self.lines) else ""
        known = text.rstrip(":").lower() in SECTION_OF
        if (known or not self.buffer) and RULE.match(following):
            self.flush()
            self.heading(text, indent)
            return 2
        match = _GOOGLE_HEADING.match(text) if text[-1] in ":*" else None
        if match and match[1].lower() in SECTION_OF:
            self.flush()
            self.scopes.append((indent, SECTION_OF[match[1].lower()]))
            self.term_indent = None
            if match[2] == "::":
                self.skip = indent
            return 1
        return 0

    def markup(self, i: int, text: str, indent: int) -> int:
        """Read a line that opens a doctest, a table, a field or a directive; 0 if it does not."""
        if text.startswith(">>>") or _TABLE.match(text):
            self.flush()
            return self.until_blank(i)
        if text.startswith(_FENCE):
            self.flush()
            return self.until_fence(i, text[:3])
        if RULE.match(text):
            self.flush()
            return 1
        if match := _FIELD.match(text):
            self.flush()
            self.scopes.append((indent, _FIELD_SECTION.get(match[1], "parameters")))
            self.open(match[2], indent)
            return 1
        if match := _ADMONITION.match(text):
            self.flush()
            self.scopes.append((indent, "notes"))
            self.term_indent = None
            self.open(match[1], indent)
            return 1
        if _MARKUP_LINE.match(text):
            self.flush()
            self.skip = indent
            return 1
        return 0

    def prose(self, i: int, text: str, indent: int) -> int:
        """Read a line of a paragraph, or the term above an indented description."""
        following = self.lines[i + 1] if i + 1 < len(self.lines) else ""
        deeper = len(following) - len(following.lstrip(" ")) > indent and bool(following.strip(" "))
        section = self.scopes[-1][1] if self.scopes else self.section
        listing = section in ("parameters", "returns", "raises")
        if listing and self.scopes:
            if self.term_indent is None or indent < self.term_indent:
                self.term_indent = indent
            if indent == self.term_indent and (match := _GOOGLE_TERM.match(text)):
                self.flush()
                text = text[match.end() :]
                self.bullet = True
        elif listing and indent <= self.base and (deeper or _TERM.match(text)):
            self.flush()
            return 1
        if match := _BULLET.match(text):
            self.flush()
            text, self.bullet = text[match.end() :], True
        elif self.buffer and self.breaks(text, indent):
            self.flush()
        if not self.buffer:
            self.buffer_indent = indent
        if text.endswith("::"):
            text, self.skip = text[:-1], indent
        if text:
            self.join(text)
        return 1

    def breaks(self, text: str, indent: int) -> bool:
        """Whether a line starts a new paragraph although no blank line stands before it."""
        last = self.buffer[-1]
        if indent < self.buffer_indent or (indent > self.buffer_indent and not self.bullet):
            return True
        if last[-1] in ".?!:;,(" or not text[0].isupper():
            return False
        return len(last) + len(text.split(" ", 1)[0]) < 50  # the next word would have fitted

    def join(self, text: str) -> None:
        """Add a line to the paragraph, closing a word that was broken at its hyphen."""
        if self.buffer and re.search(r"[a-z]-$", self.buffer[-1]) and re.match(r"[a-z]", text):
            self.buffer[-1] += text
        else:
            self.buffer.append(text)

    def heading(self, text: str, indent: int) -> None:
        name = text.rstrip(":").lower()
        if name in SECTION_OF:
            self.section = SECTION_OF[name]
        elif self.found:
            self.section = "notes"
        self.base, self.scopes, self.skip = indent, [], None

    def until_blank(self, i: int) -> int:
        end = i
        while end < len(self.lines) and self.lines[end].strip(" "):
            end += 1
        return end - i

    def until_fence(self, i: int, fence: str) -> int:
        end = i + 1
        while end < len(self.lines) and not self.lines[end].strip(" ").startswith(fence):
            end += 1
        return end + 1 - i


def read(docstring: str) -> list[tuple[str, str]]:
    """Give the clean sentences of a docstring, each with its section.

    The first sentence of the first paragraph is its summary; what follows it there is description.

    Parameters
    ----------
    docstring : str

    Returns
    -------
    list of (str, str)
        Section and sentence; empty for a docstring that is a license text.

    Examples
    --------
    >>> read("Add up two numbers.  They may be of *any* kind.\\n\\n>>> add(1, 2)\\n3\\n")
    [('summary', 'Add up two numbers.'), ('description', 'They may be of any kind.')]
    """
    if _LEGAL.search(docstring):
        return []
    found = []
    for section, paragraph in paragraphs(docstring):
        for i, sentence in enumerate(sentences(plain(paragraph))):
            if is_clean(sentence):
                label = "description" if section == "summary" and i else section
                found.append((label, sentence))
    return found
