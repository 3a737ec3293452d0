"""The names corpus: what is in it, what is left out, and that its parts do not leak."""

import unicodedata
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.corpora import _cldr, _scripts, names
from nlpmeta.corpora._cache import CorpusWarning, sha256_of
from nlpmeta.corpora._scripts import script_of
from nlpmeta.corpora.names import Name

book_babel = pytest.mark.skipif(
    names.version("babel") != names.BOOK["babel"],
    reason=f"the book was computed with babel {names.BOOK['babel']}",
)


@pytest.fixture(scope="module")
def everything():
    return names.load()


@pytest.fixture(scope="module")
def view():
    return names.load(near_copies=False)


# What is in the corpus


@pytest.mark.parity(
    "corpora.names, corpora.docs, corpora.reviews", "the extracted text", "its sha256", "exact"
)
@book_babel
def test_hash_is_the_book_s():
    assert names.content_hash() == names.EXPECTED


@book_babel
def test_a_fresh_extraction_has_the_book_s_hash():
    assert sha256_of(_cldr.extract()) == names.EXPECTED


def test_size(everything, view):
    assert len({name.language for name in everything}) >= 290
    assert len({name.text for name in everything}) >= 200_000
    assert len({name.language for name in view}) >= 180
    assert set(view) < set(everything)


def test_every_name_is_whole(everything):
    for name in everything:
        assert all(name), name
        assert name.text == name.text.strip(), name
        assert name.family in names.FAMILIES, name
        assert name.text != name.key, name
        assert script_of(name.text) == name.script != "Zyyy", name
        assert unicodedata.is_normalized("NFC", name.text), name
    assert {name.family for name in everything} == set(names.FAMILIES)


def test_nothing_comes_twice(everything):
    assert len({(n.language, n.family, n.key) for n in everything}) == len(everything)
    assert len({(n.language, n.family, n.text) for n in everything}) == len(everything)


def test_an_entity_has_one_english_name(everything):
    english = defaultdict(set)
    for name in everything:
        english[name.family, name.key].add(name.english)
    assert all(len(alternatives) == 1 for alternatives in english.values())


@pytest.mark.parametrize(
    ("language", "family", "english", "text"),
    [
        ("fi", "territory", "Germany", "Saksa"),
        ("de", "language", "French", "Französisch"),
        ("ru", "month", "January", "январь"),
        ("pl", "day", "Monday", "poniedziałek"),
        ("it", "city", "Athens", "Atene"),
        ("es", "currency", "Indian Rupee", "rupia india"),
        ("zh", "script", "Arabic", "阿拉伯文"),
        ("fr", "unit", "nautical miles", "milles marins"),
    ],
)
def test_some_names_that_do_not_change(everything, language, family, english, text):
    assert text in {
        n.text for n in everything if n[1] == language and n[3:6:2] == (family, english)
    }


def test_inherited_names_are_left_out(everything):
    size = Counter(name.language for name in everything)
    assert size["nb"] == 0  # Bokmål says nothing that Norwegian (no) does not say
    assert size["ht"] < 10 < size["fr"]  # Haitian falls back on the French of Haiti
    assert not [name for name in everything if name.text in ("M01", "XAF", "CE")]


def test_scripts_of_one_language_are_languages_of_their_own(view):
    scripts = names.main_scripts(view)
    assert scripts["uz"] == scripts["sr_Latn"] == "Latn"
    assert scripts["uz_Cyrl"] == scripts["sr"] == "Cyrl"
    assert "zh_Hant" in scripts
    assert "zh_Hans" not in scripts  # the same locale as zh


# Near copies


def test_the_view_has_neither_copies_nor_crumbs(view):
    size = Counter(name.language for name in view)
    assert min(size.values()) >= _cldr.FEWEST
    assert not {"nb", "nn", "ht", "hi_Latn", "vun", "guz"} & set(size)
    assert {"no", "fr", "hi", "en"} <= set(size)


entries = st.dictionaries(
    st.tuples(st.just("territory"), st.sampled_from("abcdefgh")), st.sampled_from("xy"), min_size=1
)


@given(shown=st.dictionaries(st.text("pqrs", min_size=1, max_size=2), entries))
def test_rule_of_near_copies(shown):
    own = {language: len(names_) * 30 for language, names_ in shown.items()}
    kept = _cldr.distinct_languages(shown, own)

    def copies(language, other):
        shared = len(shown[language].items() & shown[other].items())
        return shared > _cldr.COPIED * len(shown[language])

    order = sorted(shown, key=lambda language: (-own[language], language))
    for place, language in enumerate(order):
        before = [other for other in order[:place] if other in kept]
        copied = any(copies(language, other) for other in before)
        assert (language in kept) == (own[language] >= _cldr.FEWEST and not copied)
    assert kept == sorted(kept)


def test_a_larger_language_is_kept_before_its_copy():
    large = {("territory", str(i)): f"name {i}" for i in range(10)}
    small = {**dict(list(large.items())[:6]), ("territory", "x"): "own"}
    own = {"small": 101, "large": 102}
    assert _cldr.distinct_languages({"small": small, "large": large}, own) == ["large"]


# Splits

FIXED = {
    "train": ("de sw ru zh zh_Hant es hu", ("euro", "Chad", "France", "kilometers", "Guam")),
    "validation": ("ja pl hi", ("Finland", "Japan")),
    "test": ("fi da fr uz uz_Cyrl", ("Latin", "Brazil")),
}


def test_parts_share_neither_language_nor_entity(view):
    parts = {part: names.split(view, part) for part in names.LANGUAGE_SHARES}
    for field in ("language", "english"):
        seen = [{getattr(name, field) for name in parts[part]} for part in parts]
        assert sum(map(len, seen)) == len(set().union(*seen))
    keys = [{(name.family, name.key) for name in names_} for names_ in parts.values()]
    assert sum(map(len, keys)) == len(set().union(*keys))
    assert all(parts.values())


def test_hardly_a_test_text_was_seen_in_training(view):
    seen = {name.text for name in names.split(view, "train")}
    test = names.split(view, "test")
    assert sum(name.text in seen for name in test) < 0.02 * len(test)


def test_languages_are_shared_out_about_as_promised(view):
    scripts = names.main_scripts(view)
    for latin in (True, False):
        parts = Counter(
            names.language_part(language)
            for language, script in scripts.items()
            if (script == "Latn") == latin
        )
        for part, share in names.LANGUAGE_SHARES.items():
            assert parts[part] / parts.total() == pytest.approx(share, abs=0.08)


def test_test_languages_fill_episodes(view):
    # Ten names of five families; the rest have territories, languages and currencies only.
    per_language = Counter((n.language, n.family) for n in names.split(view, "test"))
    languages = {language for language, _ in per_language}
    large = [f for f in names.FAMILIES if f not in ("month", "day")]
    enough = [lang for lang in languages if sum(per_language[lang, f] >= 10 for f in large) >= 5]
    assert len(enough) > 0.5 * len(languages)


@pytest.mark.parametrize("part", names.LANGUAGE_SHARES)
def test_parts_are_fixed(part):
    languages, entities = FIXED[part]
    assert {names.language_part(code) for code in languages.split()} == {part}
    assert {names.entity_part(english) for english in entities} == {part}


@given(st.text("abcé"), st.sampled_from([" (old)", " (1977–1991)", " (a) (b)"]))
def test_parentheses_do_not_move_an_entity(english, note):
    assert names.entity_part(english + note) == names.entity_part(english)


@given(st.text("abc", min_size=1), st.text("XYZ"))
def test_a_script_does_not_move_a_language(language, script):
    assert names.language_part(f"{language}_{script}") == names.language_part(language)


def test_splitting_nothing_gives_nothing():
    assert names.split([], "train") == ()


@pytest.mark.parametrize("part", ["dev", "", None, "Train"])
def test_unknown_part(part):
    with pytest.raises(ValueError, match="'train', 'validation' or 'test'"):
        names.split([], part)


# Scripts


def test_ranges_are_in_order():
    ends = [end for first, last, _ in _scripts.RANGES for end in (first, last)]
    assert ends == sorted(ends)


PREFIXES = {
    "Adlm": "ADLAM", "Arab": "ARABIC", "Armn": "ARMENIAN", "Beng": "BENGALI", "Cakm": "CHAKMA",
    "Cans": "CANADIAN SYLLABICS", "Cher": "CHEROKEE", "Cyrl": "CYRILLIC", "Deva": "DEVANAGARI",
    "Dsrt": "DESERET", "Ethi": "ETHIOPIC", "Geor": "GEORGIAN", "Grek": "GREEK",
    "Gujr": "GUJARATI", "Guru": "GURMUKHI", "Hang": "HANGUL", "Hani": "CJK", "Hebr": "HEBREW",
    "Hira": "HIRAGANA", "Hmnp": "NYIAKENG PUACHUE HMONG", "Kana": "KATAKANA", "Khmr": "KHMER",
    "Knda": "KANNADA", "Laoo": "LAO", "Latn": "LATIN", "Mlym": "MALAYALAM", "Mong": "MONGOLIAN",
    "Mtei": "MEETEI MAYEK", "Mymr": "MYANMAR", "Nkoo": "NKO", "Olck": "OL CHIKI",
    "Orya": "ORIYA", "Osge": "OSAGE", "Rohg": "HANIFI ROHINGYA", "Shaw": "SHAVIAN",
    "Sinh": "SINHALA", "Syrc": "SYRIAC", "Taml": "TAMIL", "Tavt": "TAI VIET", "Telu": "TELUGU",
    "Tfng": "TIFINAGH", "Thaa": "THAANA", "Thai": "THAI", "Tibt": "TIBETAN", "Vaii": "VAI",
    "Yiii": "YI",
}  # fmt: skip


@pytest.mark.parity(
    "corpora.names",
    "scripts of letters",
    "Python's `unicodedata` names, every letter of the table",
    "exact",
)
def test_script_table_agrees_with_unicode():
    for first, last, script in _scripts.RANGES:
        for character in map(chr, range(first, last + 1)):
            if unicodedata.category(character)[0] == "L":
                name = unicodedata.name(character)
                assert name.startswith((PREFIXES[script], "MODIFIER LETTER")), name


def test_script_table_has_every_letter_of_the_corpus(everything):
    for character in set().union(*(name.text for name in everything)):
        if unicodedata.category(character)[0] == "L" and script_of(character) == "Zyyy":
            assert unicodedata.category(character) == "Lm", unicodedata.name(character)


@given(st.text("abcдежλ漢ア", min_size=1), st.text("0123456789 -–()%"))
def test_digits_and_punctuation_have_no_script(letters, others):
    assert script_of(letters + others) == script_of(others + letters) == script_of(letters)


def test_ties_go_to_the_first_script():
    assert script_of("aд") == "Latn"
    assert script_of("дa") == "Cyrl"
    assert script_of("") == "Zyyy"


# Bad input


@pytest.mark.parametrize("code", ["", "no such language", "qq", "a" * 50, None, 3])
def test_unknown_language(code):
    with pytest.raises(ValueError, match=r"give one that Name\.language has"):
        names.language_name(code)


def test_every_language_has_a_name(everything):
    assert all(names.language_name(code) for code in {name.language for name in everything})


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NLPMETA_CACHE", str(tmp_path))
    names._corpus.cache_clear()
    names.load.cache_clear()
    yield tmp_path
    names._corpus.cache_clear()
    names.load.cache_clear()


def test_another_babel_is_named(own_cache, monkeypatch):
    lines = ["fi", "Suomi\tfi\tLatn\tterritory\tFI\tFinland"]
    monkeypatch.setattr(names, "version", lambda _: "2.19.0")
    monkeypatch.setattr(_cldr, "extract", lambda: lines)
    with pytest.warns(CorpusWarning, match=r"names: babel 2\.19\.0 is installed.* 2\.18\.0; num"):
        assert names.load() == (Name("Suomi", "fi", "Latn", "territory", "FI", "Finland"),)


def test_a_truncated_cache_is_mended(everything, own_cache, monkeypatch):
    some = everything[:1000]
    lines = ["", *("\t".join(name) for name in some)]
    monkeypatch.setattr(_cldr, "extract", lambda: lines)
    monkeypatch.setattr(names, "EXPECTED", sha256_of(lines))
    path = own_cache / "names.txt"
    names.content_hash()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(CorpusWarning, match="damaged; extracting it again"):
        assert names.load() == some
    assert path.read_bytes() == whole
