"""The reviews corpus: its size and variety, its loader, and what the loader refuses."""

import hashlib
import itertools
import re
from collections import Counter
from importlib.resources import files
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta.corpora import reviews
from nlpmeta.corpora.reviews import DOMAINS, HEADER, LABELS, LANGUAGES, Review

CHINESE_DOMAINS = {"restaurant", "hotel", "film", "app"}
LINE = "film\tpositive\tStayed for the credits."


def pieces(review):
    """The set of units two reviews are compared by: words, or character pairs in Chinese."""
    if review.language == "en":
        return set(re.findall(r"\w+", review.text.lower()))
    return {review.text[i : i + 2] for i in range(len(review.text) - 1)}


# --- what is in it


def test_english_covers_eight_domains():
    counts = Counter(review.domain for review in reviews.load("en"))
    assert sum(counts.values()) >= 320
    assert set(counts) == set(DOMAINS)
    assert min(counts.values()) >= 35


def test_chinese_covers_four_domains():
    counts = Counter(review.domain for review in reviews.load("zh"))
    assert sum(counts.values()) >= 100
    assert set(counts) == CHINESE_DOMAINS
    assert min(counts.values()) >= 25


def test_every_domain_has_every_label_and_both_poles_in_balance():
    counts = Counter((r.language, r.domain, r.label) for r in reviews.load())
    for language, domain in {key[:2] for key in counts}:
        positive, negative, mixed = (counts[language, domain, label] for label in LABELS)
        assert mixed >= 4
        assert abs(positive - negative) <= 3
        assert mixed < min(positive, negative)


def test_no_text_occurs_twice():
    texts = Counter(re.sub(r"\W", "", review.text).lower() for review in reviews.load())
    assert [text for text, count in texts.items() if count > 1] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_reviews_are_near_copies(language):
    sets = [(pieces(review), review.text) for review in reviews.load(language)]
    close = [
        (first, second)
        for (a, first), (b, second) in itertools.combinations(sets, 2)
        if len(a & b) > 0.4 * len(a | b)
    ]
    assert close == []


def test_reviews_do_not_open_alike():
    chinese = Counter(review.text[:3] for review in reviews.load("zh"))
    english = Counter(tuple(r.text.lower().split()[:3]) for r in reviews.load("en"))
    assert max(chinese.values()) == 1
    assert max(english.values()) <= 2


def test_lengths_vary():
    words = [len(review.text.split()) for review in reviews.load("en")]
    characters = [len(review.text) for review in reviews.load("zh")]
    assert min(words) <= 4
    assert max(words) >= 50
    assert min(characters) <= 5
    assert max(characters) >= 80
    assert max(characters) > 3 * median(characters)


def test_scripts_are_the_languages_own():
    han = re.compile(r"[\u4e00-\u9fff]")
    assert not any(han.search(review.text) for review in reviews.load("en"))
    for review in reviews.load("zh"):
        assert len(han.findall(review.text)) >= 0.6 * len(review.text)


def test_texts_are_clean_lines():
    for review in reviews.load():
        assert review.text == review.text.strip()
        assert review.text.isprintable()
        assert "  " not in review.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_files_are_utf8_with_line_feeds(language):
    data = files("nlpmeta.corpora").joinpath("data", f"reviews.{language}.tsv").read_bytes()
    assert data.decode("utf-8").startswith(HEADER + "\n")
    assert b"\r" not in data
    assert data.endswith(b"\n")


# --- the loader


def test_load_filters_by_language_and_domain():
    everything = reviews.load()
    assert isinstance(everything, tuple)
    assert everything == reviews.load("en") + reviews.load("zh")
    for domain in DOMAINS:
        expected = tuple(review for review in everything if review.domain == domain)
        assert reviews.load(domain=domain) == expected
    hotels = tuple(r for r in everything if r.domain == "hotel" and r.language == "zh")
    assert reviews.load("zh", "hotel") == hotels


def test_hash_is_the_expected_one():
    assert reviews.content_hash() == reviews.EXPECTED


def test_hash_is_of_both_files():
    digest = hashlib.sha256()
    for language in LANGUAGES:
        path = files("nlpmeta.corpora").joinpath("data", f"reviews.{language}.tsv")
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            digest.update(f"{language}\t{line}\n".encode())
    assert reviews.content_hash() == digest.hexdigest()


def test_hash_changes_with_a_single_character(monkeypatch):
    first, *rest = reviews.load()
    changed = (first._replace(text=first.text + "."), *rest)
    monkeypatch.setattr(reviews, "load", lambda: changed)
    assert reviews.content_hash() != reviews.EXPECTED


# --- bad input


@pytest.mark.parametrize("language", ["fr", "EN", "", 3])
def test_unknown_language(language):
    message = re.escape(f"language={language!r} is not in this corpus; use 'en', 'zh' or None")
    with pytest.raises(ValueError, match=message):
        reviews.load(language)


@pytest.mark.parametrize("domain", ["movie", "Hotel", ""])
def test_unknown_domain(domain):
    message = re.escape(f"domain={domain!r} is not in this corpus; use 'restaurant', ")
    with pytest.raises(ValueError, match=message):
        reviews.load(domain=domain)


def test_domain_that_chinese_lacks():
    message = "domain='book' has no review in language='zh'; use 'restaurant', 'hotel', 'film'"
    with pytest.raises(ValueError, match=message):
        reviews.load("zh", "book")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line is ''; it must be 'domain"),
        ("label\tdomain\ttext\n" + LINE + "\n", "the first line is 'label"),
        ("\ufeff" + HEADER + "\n" + LINE + "\n", "the first line is "),
        (HEADER, "the last line is cut off"),
        (HEADER + "\n", "no review after the header"),
        (f"{HEADER}\n{LINE}\n{LINE[:20]}", "the last line is cut off"),
        (f"{HEADER}\n{LINE}\nfilm\tpositive\n", "line 3: 2 columns in 'film"),
        (f"{HEADER}\n{LINE}\textra\n", "line 2: 4 columns"),
        (f"{HEADER}\n{LINE}\n\n", "line 3: 1 columns in ''"),
        (f"{HEADER}\ncinema\tpositive\tGood.\n", "line 2: domain='cinema' is unknown; use"),
        (f"{HEADER}\nfilm\tneutral\tGood.\n", "line 2: label='neutral' is unknown; use"),
        (f"{HEADER}\nfilm\tpositive\t\n", "line 2: text='' is empty"),
        (f"{HEADER}\nfilm\tpositive\t  \n", "line 2: text='  ' is empty"),
    ],
)
def test_malformed_file(text, message):
    with pytest.raises(ValueError, match="my file.*" + re.escape(message)):
        reviews.parse(text, "en", source="my file")


sentences = st.text(
    st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), min_size=1
).filter(str.strip)
records = st.builds(
    Review, sentences, st.sampled_from(DOMAINS), st.sampled_from(LABELS), st.just("en")
)


@given(st.lists(records, min_size=1))
def test_parse_inverts_writing(expected):
    lines = [f"{review.domain}\t{review.label}\t{review.text}\n" for review in expected]
    assert reviews.parse(HEADER + "\n" + "".join(lines), "en") == tuple(expected)


@given(st.data())
def test_a_file_cut_anywhere_inside_a_line_is_refused(data):
    whole = f"{HEADER}\n{LINE}\napp\tmixed\tFast, but drains the battery.\n"
    cut = data.draw(st.integers(0, len(whole) - 1).filter(lambda n: whole[n - 1] != "\n"))
    with pytest.raises(ValueError, match="text"):
        reviews.parse(whole[:cut], "en")
