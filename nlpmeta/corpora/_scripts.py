"""The script of a string by code point, from a table of our own.

Python's ``unicodedata`` knows no script property, and what it does know grows with every Python
version; a table keeps the corpus the same on all of them. Codes are ISO 15924. Exports
``script_of``.
"""

from bisect import bisect_right
from collections import Counter
from functools import cache

RANGES = (
    (0x0041, 0x005A, "Latn"),
    (0x0061, 0x007A, "Latn"),
    (0x00C0, 0x00D6, "Latn"),
    (0x00D8, 0x00F6, "Latn"),
    (0x00F8, 0x02AF, "Latn"),
    (0x0370, 0x03E1, "Grek"),
    (0x0400, 0x052F, "Cyrl"),
    (0x0531, 0x058A, "Armn"),
    (0x0591, 0x05F4, "Hebr"),
    (0x0620, 0x065F, "Arab"),
    (0x066E, 0x06EF, "Arab"),
    (0x06FA, 0x06FF, "Arab"),
    (0x0700, 0x074F, "Syrc"),
    (0x0750, 0x077F, "Arab"),
    (0x0780, 0x07B1, "Thaa"),
    (0x07C0, 0x07FF, "Nkoo"),
    (0x08A0, 0x08FF, "Arab"),
    (0x0900, 0x097F, "Deva"),
    (0x0980, 0x09FF, "Beng"),
    (0x0A00, 0x0A7F, "Guru"),
    (0x0A80, 0x0AFF, "Gujr"),
    (0x0B00, 0x0B7F, "Orya"),
    (0x0B80, 0x0BFF, "Taml"),
    (0x0C00, 0x0C7F, "Telu"),
    (0x0C80, 0x0CFF, "Knda"),
    (0x0D00, 0x0D7F, "Mlym"),
    (0x0D80, 0x0DFF, "Sinh"),
    (0x0E01, 0x0E3A, "Thai"),
    (0x0E40, 0x0E5B, "Thai"),
    (0x0E80, 0x0EFF, "Laoo"),
    (0x0F00, 0x0FFF, "Tibt"),
    (0x1000, 0x109F, "Mymr"),
    (0x10A0, 0x10FF, "Geor"),
    (0x1200, 0x139F, "Ethi"),
    (0x13A0, 0x13FF, "Cher"),
    (0x1400, 0x167F, "Cans"),
    (0x1780, 0x17FF, "Khmr"),
    (0x1820, 0x18AA, "Mong"),
    (0x1C50, 0x1C7F, "Olck"),
    (0x1C80, 0x1C8A, "Cyrl"),
    (0x1E00, 0x1EFF, "Latn"),
    (0x1F00, 0x1FFF, "Grek"),
    (0x2D30, 0x2D7F, "Tfng"),
    (0x2D80, 0x2DDF, "Ethi"),
    (0x3041, 0x309F, "Hira"),
    (0x30A1, 0x30FA, "Kana"),
    (0x30FC, 0x30FF, "Kana"),
    (0x3400, 0x4DBF, "Hani"),
    (0x4E00, 0x9FFF, "Hani"),
    (0xA000, 0xA4CF, "Yiii"),
    (0xA500, 0xA63F, "Vaii"),
    (0xA640, 0xA69F, "Cyrl"),
    (0xA722, 0xA7CA, "Latn"),
    (0xAA80, 0xAADF, "Tavt"),
    (0xAAE0, 0xAAF6, "Mtei"),
    (0xAB01, 0xAB2E, "Ethi"),
    (0xABC0, 0xABFF, "Mtei"),
    (0xAC00, 0xD7FF, "Hang"),
    (0xF900, 0xFAFF, "Hani"),
    (0xFB50, 0xFDFF, "Arab"),
    (0x10400, 0x1044F, "Dsrt"),
    (0x10450, 0x1047F, "Shaw"),
    (0x104B0, 0x104FF, "Osge"),
    (0x10D00, 0x10D3F, "Rohg"),
    (0x11100, 0x1114F, "Cakm"),
    (0x1E100, 0x1E14F, "Hmnp"),
    (0x1E900, 0x1E95F, "Adlm"),
)


_STARTS = [first for first, _, _ in RANGES]


@cache
def _script_of_character(character: str) -> str:
    first, last, script = RANGES[max(bisect_right(_STARTS, ord(character)) - 1, 0)]
    return script if first <= ord(character) <= last else "Zyyy"


def script_of(text: str) -> str:
    """Find the script that most of the letters of a text belong to.

    Digits, punctuation, combining accents and what the table does not know do not count. A tie
    goes to the script that comes first in the text.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        An ISO 15924 code, ``"Zyyy"`` if no character counts.

    Examples
    --------
    >>> script_of("Ελλάδα (GR)"), script_of("日本"), script_of("100 %")
    ('Grek', 'Hani', 'Zyyy')
    """
    counts = Counter(map(_script_of_character, text))
    del counts["Zyyy"]
    return max(counts, key=counts.__getitem__, default="Zyyy")
