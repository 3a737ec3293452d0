"""British spellings that slip into American text, each with the way to spell it here."""

from __future__ import annotations

import re

# With the ending kept: behaviour -> behavior, behavioural -> behavioral.
STEMS = {
    "behaviour": "behavior",
    "colour": "color",
    "endeavour": "endeavor",
    "favour": "favor",
    "flavour": "flavor",
    "harbour": "harbor",
    "honour": "honor",
    "humour": "humor",
    "labour": "labor",
    "neighbour": "neighbor",
    "rumour": "rumor",
    "vapour": "vapor",
    "centre": "center",
    "centring": "centering",
    "fibre": "fiber",
    "litre": "liter",
    "theatre": "theater",
    "kilometre": "kilometer",
    "millimetre": "millimeter",
    "defence": "defense",
    "offence": "offense",
    "licence": "license",
    "practise": "practice",
    "practising": "practicing",
    "judgement": "judgment",
    "ageing": "aging",
    "artefact": "artifact",
    "grey": "gray",
    "mould": "mold",
    "plough": "plow",
    "sceptic": "skeptic",
    "fulfilment": "fulfillment",
    "skilful": "skillful",
    "instalment": "installment",
    "enrolment": "enrollment",
    "programme ": "program ",
    "manoeuvre": "maneuver",
    "encyclopaedia": "encyclopedia",
    "analyse": "analyze",
    "analysing": "analyzing",
    "paralyse": "paralyze",
    "catalyse": "catalyze",
    "whilst": "while",
    "amongst": "among",
    "learnt": "learned",
    "spelt": "spelled",
    "dreamt": "dreamed",
    "maths": "math",
}
# optimise -> optimize, optimisation -> optimization
ISE = (
    "amort|authent|author|binar|capital|categor|central|character|critic|custom|digit|"
    "discret|emphas|equal|factor|final|formal|general|global|harmon|hypothes|initial|item|"
    "legal|lemmat|linear|local|marginal|maxim|memor|minim|modern|monopol|neutral|normal|"
    "optim|organ|orthogonal|parallel|parametr|penal|personal|polar|popular|priorit|quant|"
    "random|rational|real|recogn|regular|revolution|serial|solid|special|stabil|standard|"
    "summar|symbol|synchron|synthes|token|util|vector|visual|vocal"
)
# labelled -> labeled
DOUBLED = (
    "cancel|channel|fuel|label|level|marshal|model|parcel|pencil|quarrel|rival|signal|"
    "spiral|total|travel|tunnel|unravel"
)

PATTERN = re.compile(
    rf"\b(?:un|re|mis|over|de|pre|non-?)?(?:{'|'.join(STEMS)})\w*"
    rf"|\b(?:un|re|de|over|pre)?(?:{ISE})is(?:e|es|ed|er|ers|ing|able|ation|ations)\b"
    rf"|\b(?:un|re|mis|multi)?(?:{DOUBLED})l(?:ed|ing|er|ers|able)\b",
    re.IGNORECASE,
)

# Names and titles keep the spelling that they have.
NAMES = re.compile(r"Labour Party|Centre for [A-Z]\w+|Journal of Behaviour")


def british(text: str) -> list[str]:
    """The British spellings in running text, each with its line number."""
    text = NAMES.sub("¤", text)
    return [
        f"line {text.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}"
        for match in PATTERN.finditer(text)
    ]
