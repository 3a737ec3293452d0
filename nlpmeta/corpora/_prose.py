"""From a paragraph of a docstring to clean English sentences.

``plain`` takes the markup out of a paragraph (reStructuredText, Markdown, LaTeX, citations),
``sentences`` splits it by rules, and ``is_clean`` decides what is kept. A lost formula or citation
leaves a ``|`` behind, so that no sentence with a hole in it is clean. The patterns are ASCII only:
each Python version gives the same text. Exports these
three and ``ascii_re``.
"""

import re


def ascii_re(pattern: str, flags: int = 0) -> re.Pattern[str]:
    r"""Compile a pattern in which ``\w``, ``\d`` and ``\b`` know ASCII only."""
    return re.compile(pattern, re.ASCII | flags)


_HOLE = "|"  # stands where text was lost; no sentence that holds it is clean
_ASCII = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": " - ",
        "\u2010": "-", "\u2011": "-", "\u2026": "...", "\u00a0": " ", "\u00d7": "x", "\u2212": "-",
        "\u2264": "<=", "\u2265": ">=", "\u2192": "->", "\ufb01": "fi", "\u2260": "!=", "\t": " ",
    }
)  # fmt: skip
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Sigma|Phi|Psi|Omega|sin|cos|tan|log|exp|sqrt|max|min"
)
_LATEX = [
    (ascii_re(r"\\(?:(?:math|text)(?:rm|bf|bb|cal|it)|text|operatorname) ?\{(\w+)\}"), r"\1"),
    (ascii_re(r"\\(?:left|right|displaystyle|,|;|!|:)"), ""),
    (ascii_re(r"\\(?:leq?)(?![a-zA-Z])"), "<="),
    (ascii_re(r"\\(?:geq?)(?![a-zA-Z])"), ">="),
    (ascii_re(r"\\(?:neq?)(?![a-zA-Z])"), "!="),
    (ascii_re(r"\\(?:times|cdot)(?![a-zA-Z])"), "*"),
    (ascii_re(r"\\(?:to|rightarrow)(?![a-zA-Z])"), "->"),
    (ascii_re(r"\\[lc]?dots(?![a-zA-Z])"), "..."),
    (ascii_re(r"\\infty(?![a-zA-Z])"), "infinity"),
    (ascii_re(rf"\\var({_GREEK})(?![a-zA-Z])"), r"\1"),
    (ascii_re(rf"\\({_GREEK})(?![a-zA-Z])"), r"\1"),
    (ascii_re(r"\{(\w{1,6})\}"), r"\1"),
]  # fmt: skip
_SIMPLE_MATH = ascii_re(r"[A-Za-z0-9_ ,.()\[\]+\-*/=<>!'^]{1,30}$")


def _math(match: re.Match[str]) -> str:
    """Write a short formula as plain text; a longer one becomes a hole."""
    source = match[1].strip(" ")
    for pattern, replacement in _LATEX:
        source = pattern.sub(replacement, source)
    return " ".join(source.split(" ")) if _SIMPLE_MATH.match(source) else _HOLE


def _last_name(match: re.Match[str]) -> str:
    """Give what a cross-reference shows: its title, or the last part of ``~a.b.c``."""
    target = match[1]
    if "<" in target and target.endswith(">"):
        return target[: target.index("<")].strip(" ") or _HOLE
    return target.rsplit(".", 1)[-1].lstrip("~!") if target[:1] == "~" else target.lstrip("!.")


_CITE = r"\[(?:\d+(?:[,-] ?\d+)*|#?\w+)\]_|(?<=[ .,;])\[[1-9]\d?\](?![\[(])"
_NEEDS_CITE = (
    "see|in|of|by|from|and|or|to|with|on|per|also|references?|refs?\\.|refs?|paper|equation|eq\\.|"
    "section|the|is|as|at|following|algorithm|page|chapter|theorem|table|figure|consult|compare|"
    "cites?|citing|read|using|uses?|via|after|between|follows?|both|like|than|e\\.g\\.|cf\\.|for"
)
_INLINE = [  # a character that must be there, what to look for, what to put in its place
    ("_", ascii_re(r"(?<![\w`.])_([a-z]+)_(?![\w`(])"), r"\1"),
    ("`", ascii_re(r":math: ?`([^`]*)`"), _math),
    ("$", ascii_re(r"\$\$?([^$]+)\$\$?"), _math),
    ("\\", ascii_re(r"\\\((.+?)\\\)"), _math),
    ("](", ascii_re(r"(?<![\w)\]])!?\[\[?`?([^\[\]`]*)`?\]?\]\((?:[^() ]|\([^()]*\))*\)"), r"\1"),
    ("`", ascii_re(r"\[`([^`\[\]]+)`\]"), _last_name),
    ("`", ascii_re(r":[a-z][a-z:+-]*: ?`([^`]+)`"), _last_name),
    ("`", ascii_re(r"``([^`]+)``"), r"\1"),
    ("`", ascii_re(r"`([^`<>]+?) *<[^`>]*>`__?"), r"\1"),
    ("`", ascii_re(r"`([^`]+)`__?"), r"\1"),
    ("`", ascii_re(r"`([^`]+)`"), _last_name),
    ("]", ascii_re(rf"(?<![\w])(?:(?:{_NEEDS_CITE})[ ,]*|[(:,] ?)(?:{_CITE})", re.I), _HOLE),
    ("]", ascii_re(rf"^ ?(?:{_CITE})"), _HOLE),
    ("]", ascii_re(rf" ?(?:{_CITE})"), ""),
    ("<", ascii_re(r"</?(?:Tip|tip|b|i|em|strong|code|tt|br|p)\b[^>]*>"), ""),
    ("://", ascii_re(r"[a-z]+://[^ ]*"), _HOLE),
    ("www", ascii_re(r"www\.[^ ]*"), _HOLE),
    ("*", ascii_re(r"(?<![\w*\\/])(\*{1,3})(?=[^ *])([^*|]*[^ *|])\1(?![\w*])"), r"\2"),
    ("\\", ascii_re(r"\\([*_`'\"|<>#\[\]-])"), r"\1"),
    ("\\", ascii_re(r"\\ "), ""),
    (" ", ascii_re(r"(?<=[\w)]) +(?=[,;.](?: |$))"), ""),
    (" 's ", ascii_re(r"(?<=\w) 's "), "'s "),
]


def plain(text: str) -> str:
    """Remove the markup inside a paragraph: roles, links, emphasis, code marks, citations, LaTeX.

    A short formula becomes plain text; where something is lost that a sentence needs, a ``|``
    stands.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        One line with single spaces.

    Examples
    --------
    >>> plain("Set :attr:`~a.Tensor.grad` to ``None`` if :math:`\\\\alpha_{i} \\\\leq 1` [2]_.")
    'Set grad to None if alpha_i <= 1.'
    """
    text = text.translate(_ASCII)
    for sign, pattern, replacement in _INLINE:
        if sign in text:
            text = pattern.sub(replacement, text)
    return " ".join(text.split())


_NEVER_LAST = {
    "e.g.", "i.e.", "cf.", "vs.", "viz.", "fig.", "figs.", "eq.", "eqs.", "eqn.", "sec.",
    "ref.", "refs.", "ch.", "chap.", "vol.", "pp.", "dr.", "mr.", "mrs.", "prof.", "st.",
    "ca.", "incl.", "excl.", "approx.", "resp.", "wrt.", "esp.", "thm.", "prop.", "def.",
    "dept.", "univ.", "ed.", "eds.",
}  # fmt: skip
_SOMETIMES_LAST = {
    "etc.", "al.", "a.k.a.", "i.i.d.", "w.r.t.", "s.t.", "u.s.", "no.", "inc.", "ltd.",
    "jr.", "ph.d.", "nos.",
}  # fmt: skip
_STARTERS = {
    "A", "All", "Also", "Although", "An", "And", "Any", "Are", "As", "At", "Because",
    "Both", "But", "By", "Can", "Compute", "Default", "Defaults", "Do", "Does", "Each",
    "Either", "Every", "For", "From", "Given", "Hence", "Here", "How", "However", "If",
    "In", "Instead", "Is", "It", "Its", "Let", "May", "More", "Must", "No", "Not", "Note",
    "On", "Once", "One", "Only", "Or", "Other", "Otherwise", "Return", "Returns", "See",
    "Set", "Should", "Since", "So", "Some", "Such", "That", "The", "Then", "There",
    "Therefore", "These", "They", "This", "Those", "Thus", "To", "Two", "Under", "Unlike",
    "Use", "Used", "Uses", "Usually", "We", "When", "Where", "Whether", "Which", "While",
    "Will", "With", "You",
}  # fmt: skip
_END = ascii_re(r"[.?!]+[\"')\]]*$")
_INITIAL = ascii_re(r"[\"'(]*[A-Z]\.$")


def sentences(text: str) -> list[str]:
    """Split a paragraph of plain text into sentences, by rules.

    A sentence ends at a word that ends in ``.``, ``?`` or ``!``, unless that word is an
    abbreviation (``e.g.``), an initial (``J.``), or an ellipsis before a small letter. Versions and
    dotted names (``1.2.3``, ``numpy.linalg``) hold no word that ends so.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        The sentences; joined by spaces they give the words of `text` again.

    Examples
    --------
    >>> sentences("Use e.g. numpy.linalg 2.0. It is fast, cf. Eq. 3. Done?")
    ['Use e.g. numpy.linalg 2.0.', 'It is fast, cf. Eq. 3.', 'Done?']
    """
    words = text.split()
    found, start = [], 0
    for i, word in enumerate(words):
        if i + 1 == len(words) or (word[-1] in ".?!\"')]" and _ends(word, words[i + 1])):
            found.append(" ".join(words[start : i + 1]))
            start = i + 1
    return found


def _ends(word: str, following: str) -> bool:
    """Whether `word` is the last of its sentence, given the word after it."""
    if not (match := _END.search(word)):
        return False
    bare = word.lstrip("\"'([").lower()
    opening = following.lstrip("\"'([")[:1]
    small = "a" <= opening <= "z"
    if bare in _NEVER_LAST or (bare.endswith((")", "]")) and small):
        return False
    if bare in _SOMETIMES_LAST or _INITIAL.match(word):
        return following in _STARTERS
    if match[0].startswith(("..", "?", "!")) or match.start() == 0:
        return not small
    return bool(opening) and (opening.isascii() and opening.isalnum())


# --- what is kept ------------------------------------------------------------------------------

_LETTERS = "\u00e1\u00e4\u00e8\u00e9\u00ed\u00f1\u00f3\u00f6\u00fc\u0151"  # in names of people
_ALPHABET = ascii_re(rf"[ !\"%-?A-Z\[\]^_a-z{_LETTERS}]*$")  # ASCII without ` { } | \ $ ~ # @
_TRACES = (  # of markup, code and bibliographies: none may be left
    "::", ">>>", "<<<", "===", "--", "___", "](", "[[", ",)", "( ", " )", " _ ", "%(", "%s",
    "sphx_", "TODO", "FIXME", "XXX", "Copyright", "DOI", "doi:", "arXiv", "ISBN", " vol. ",
    " Vol. ", "Proc.", "Proceedings of", "University Press", "Springer", "Journal of",
)  # fmt: skip
_OPENERS = (
    "The|This|It|If|In|Returns?|When|Note|These|Defaults?|By|You|We|Each|Also|However|Only|Must"
)
_SUSPECTS = [  # a character that must be there, and what must not be
    (":", ascii_re(r":[a-z]+:|^[A-Z]\w* : |^\d+ ?:")),
    ("<", ascii_re(r"</?[A-Za-z]")),
    ("_", ascii_re(r"\b[A-Z]\w*_(?![\w(])|[a-z]__?[.]$")),
    (". ", ascii_re(r"\.\. |\b(?:pp?|no|[Ee]ds?)\. ?\d|^\d+\. |[A-Z]\. [A-Z][a-z]+(?:,| [a-z])")),
    (". ", ascii_re(r", [A-Z]\. [A-Z]")),
    (" = ", ascii_re(r"^\w+(?:\.\w+)* = |; [a-z_]+ = ")),
    (".", ascii_re(r"\(?(?:19|20)\d\d\)?\.$|[a-z]{2}\.(?:The|This|If|It|In|For|See|When)\b")),
    ("p.", ascii_re(r"\bpp?\.$")),
    (",", ascii_re(r",[.,]|[,:;]\.$|, optional")),
    (" ", ascii_re(rf"[a-z0-9)'\"\]] (?:{_OPENERS}):? [a-z]")),
]
_BRACKET = ascii_re(r"[()\[\]]")
_STAR = ascii_re(r"[\w)\]]( ?)\*\*?\1(?=[\w(+-])|\*\*?(?=[a-z_]*(?:args|kw|dict|opt|param|prop))")
_WORD = ascii_re(r"(?<![^ (\"'])[A-Za-z]+(?:[-'][A-Za-z]+)*(?=[,.;:?!)\"']*(?: |$))")


def is_clean(sentence: str) -> bool:
    """Whether `sentence` is strictly clean: prose, whole, and without any markup.

    It starts with a capital or a digit, ends in ``.``, ``?`` or ``!``, holds four words or more and
    at most 400 characters, only printable ASCII and a few letters of names, balanced brackets and
    quotes, no trace of markup, and mostly words: not code, a formula or an entry of a bibliography.

    Parameters
    ----------
    sentence : str

    Returns
    -------
    bool

    Examples
    --------
    >>> is_clean("Return the sum of all elements."), is_clean("See :func:`x` for details.")
    (True, False)
    """
    if not 12 <= len(sentence) <= 400 or sentence[-1] not in ".?!" or sentence.endswith(".."):
        return False
    if not ("A" <= sentence[0] <= "Z" or "0" <= sentence[0] <= "9"):
        return False
    if not _ALPHABET.match(sentence) or any(trace in sentence for trace in _TRACES):
        return False
    if any(sign in sentence and pattern.search(sentence) for sign, pattern in _SUSPECTS):
        return False
    if "*" in sentence and "*" in _STAR.sub("", sentence):
        return False
    if sentence.count('"') % 2 or not _balanced(sentence):
        return False
    if sentence.rsplit(" ", 1)[-1].lower() in _NEVER_LAST:
        return False
    words = _WORD.findall(sentence)
    return len(words) >= 4 and len(words) >= 0.6 * len(sentence.split(" "))


def _balanced(sentence: str) -> bool:
    """Whether each bracket has its partner."""
    open_ones = []
    for sign in _BRACKET.findall(sentence):
        if sign in "([":
            open_ones.append(sign)
        elif not open_ones or open_ones.pop() + sign not in ("()", "[]"):
            return False
    return not open_ones
