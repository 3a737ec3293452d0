"""Unicode CLDR as the installed Babel shows it, read by Babel's public API and cleaned.

Babel's locales pass on what they do not say themselves from other locales, so the extraction keeps
of each locale only what is its own, and names the languages that nearly copy another one. Exports
``extract`` and ``distinct_languages``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache

from babel import Locale
from babel.core import get_global
from babel.localedata import locale_identifiers

from nlpmeta.corpora._scripts import script_of

COPIED = 0.5  # a language that shows more than this share of a kept one's names is a near copy
FEWEST = 100  # a language with fewer names of its own is too small for tasks


def extract() -> Iterator[str]:
    """Read Babel's locales and give the lines of the corpus."""
    root, english_locale = Locale.parse("root"), Locale.parse("en")
    placeholders = _names_of(root, root, english_locale)
    english = {**placeholders, **_names_of(english_locale, root, english_locale)}
    parents, likely = get_global("parent_exceptions"), get_global("likely_subtags")

    @cache
    def shown(code: str) -> dict[tuple[str, str], str]:
        names = _names_of(Locale.parse(code), root, english_locale)
        return {
            entity: text
            for entity, text in names.items()
            if text not in (entity[1], placeholders.get(entity))
            and (entity in english or entity[0] == "city")
            and script_of(text) != "Zyyy"
            and "\t" not in text
        }

    def own(code: str) -> dict[tuple[str, str], str]:
        inherited = shown(parents[code]) if code in parents else {}
        first = {}  # a text that names several things of one family counts once
        for entity, text in sorted(shown(code).items()):
            if inherited.get(entity) != text:
                first.setdefault((entity[0], text), entity)
        return {entity: text for (_, text), entity in first.items()}

    languages = {}
    for code in sorted(locale_identifiers()):
        locale = Locale.parse(code)
        usual = likely.get(locale.language, "").split("_")[1:2]
        if locale.territory or locale.variant or (locale.script and [locale.script] == usual):
            continue  # a region's variety, or the base language under a longer name
        if names := own(code):
            languages[code] = names
    sizes = {code: len(names) for code, names in languages.items()}
    yield " ".join(distinct_languages({code: shown(code) for code in languages}, sizes))
    for code, names in languages.items():
        for (family, key), text in sorted(names.items()):
            name = english.get((family, key)) or key.rpartition("/")[2].replace("_", " ")
            yield "\t".join((text, code, script_of(text), family, key, name))


def _names_of(locale: Locale, root: Locale, english: Locale) -> dict[tuple[str, str], str]:
    """All names a Babel locale shows, inherited ones included, by (family, key)."""

    def alone(names: str) -> dict[int, str]:
        """Months or days standing alone; in the form used in dates where there is no other."""
        dated, standing = (getattr(locale, names)[use]["wide"] for use in ("format", "stand-alone"))
        bare = getattr(root, names)["stand-alone"]["wide"]
        return {k: standing[k] if standing[k] != bare[k] else dated[k] for k in dated}

    def zone(key: str, names: Mapping) -> str | None:
        """The name of a time zone the year round, or in winter if English has but that."""
        kind = (
            "generic"
            if "generic" in english.meta_zones.get(key, {}).get("long", {})
            else "standard"
        )
        return names.get("long", {}).get(kind)

    families = {
        "territory": locale.territories,
        "language": locale.languages,
        "script": locale.scripts,
        "currency": locale.currencies,
        "unit": {k: v.get("long") for k, v in locale.unit_display_names.items()},
        "city": {k: v.get("city") for k, v in locale.time_zones.items()},
        "zone": {k: zone(k, v) for k, v in locale.meta_zones.items()},
        "month": alone("months"),
        "day": alone("days"),
    }
    return {(f, str(k)): text for f, names in families.items() for k, text in names.items() if text}


def distinct_languages(
    shown: Mapping[str, Mapping[tuple[str, str], str]], own: Mapping[str, int]
) -> list[str]:
    """Drop small languages and near copies, going from the largest language to the smallest.

    A language is kept if it has at least ``FEWEST`` names of its own and shares at most the part
    ``COPIED`` of the names it shows with every language kept before it.

    Parameters
    ----------
    shown : mapping from str to mapping
        The names that each language's locale shows, by (family, key).
    own : mapping from str to int
        How many of them are not inherited; languages of equal number go by the alphabet.

    Returns
    -------
    list of str
        The languages that are kept, sorted.
    """
    kept: list[str] = []
    holders: dict[tuple[tuple[str, str], str], list[str]] = defaultdict(list)
    for language in sorted(own, key=lambda code: (-own[code], code)):
        shared = Counter(holder for entry in shown[language].items() for holder in holders[entry])
        most = max(shared.values(), default=0)
        if own[language] >= FEWEST and most <= COPIED * len(shown[language]):
            kept.append(language)
            for entry in shown[language].items():
                holders[entry].append(language)
    return sorted(kept)
