"""Cutting text into words: against jieba, against all cuts, and by hand."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpmeta import segmentation
from nlpmeta.corpora import names, reviews
from nlpmeta.segmentation import UnigramSegmenter, load_jieba, to_tags, to_words, word_f1

words = st.lists(st.text(alphabet="abc", min_size=1, max_size=5), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def finalseg():
    """The part of jieba that works without its dictionary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jieba
        import jieba.finalseg
    return jieba.finalseg


@pytest.fixture(scope="module")
def ours():
    return load_jieba()


def chinese_strings() -> list[str]:
    chinese = [n.text for n in names.load() if n.language.split("_")[0] in ("zh", "yue")]
    return list(dict.fromkeys([*chinese, *(review.text for review in reviews.load("zh"))]))


@pytest.mark.parity(
    "segmentation",
    "the parameters of jieba in our HMM",
    "`jieba.finalseg`, on Chinese names and reviews",
    "exact",
)
def test_jieba_is_reproduced_on_real_text(finalseg, ours):
    strings = chinese_strings()
    assert len(strings) > 2000
    assert [ours.cut(s) for s in strings] == [list(finalseg.cut(s)) for s in strings]


@pytest.mark.parity
def test_jieba_is_reproduced_with_its_dictionary_switched_off(finalseg, ours):
    """``jieba.cut(..., HMM=True)`` itself, its dictionary empty, on Chinese characters alone."""
    import jieba

    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total, tokenizer.initialized = {"": 0}, 1, True
    han = [s for s in chinese_strings() if segmentation._HAN.fullmatch(s)][:500]
    assert len(han) == 500
    assert [ours.cut(s) for s in han] == [list(tokenizer.cut(s, HMM=True)) for s in han]


@pytest.mark.parity
@given(st.text(alphabet="我爱自然语言处理的一是不了人\u4e05\u9fa3\u9fd5a1.%，\n ", max_size=20))
def test_jieba_is_reproduced_on_hard_strings(finalseg, ours, text):
    """Characters that the model has never seen among them (U+4E05, U+9FA3)."""
    assert ours.cut(text) == list(finalseg.cut(text))
    assert "".join(ours.cut(text)) == text


def test_one_unknown_character_ruins_the_rest(ours):
    """Told in the chapter: after it all paths tie and every character is a word."""
    unknown = "\u4e05"
    assert not {unknown} & ours.characters.keys()
    assert ours.tags("自然语言自然语言") == "BEBEBEBE"
    assert ours.tags(f"自然{unknown}语言自然语言")[3:] == "SSSSSS"


def test_the_emissions_of_jieba_are_no_distributions(ours):
    assert (ours.model.emission.sum(axis=1) > 1.1).all()
    with pytest.raises(ValueError, match=r"emission\[\d\] sums to 1\.\d+, not 1"):
        ours.model.score([0, 1])


def test_without_jieba(monkeypatch):
    monkeypatch.setattr(segmentation.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="jieba is not installed"):
        load_jieba()


@given(words)
def test_tags_and_words_are_inverse(cut):
    assert to_words("".join(cut), to_tags(cut)) == cut


@given(st.text(alphabet="BMES", max_size=9))
def test_any_tags_give_a_segmentation(tags):
    assert "".join(to_words("x" * len(tags), tags)) == "x" * len(tags)


def test_tags_of_another_length():
    with pytest.raises(ValueError, match="there are 1 tags for 2 characters"):
        to_words("ab", "S")


def test_f1():
    assert word_f1([["a", "bc"]], [["a", "bc"]]) == 1
    assert word_f1([["ab", "c"]], [["a", "b", "c"]]) == pytest.approx(2 / 5)
    with pytest.raises(ValueError, match="gold spells 'ab' and found 'ac'"):
        word_f1([["ab"]], [["ac"]])
    with pytest.raises(ValueError, match="gold holds no word"):
        word_f1([], [])


@given(words, st.text(alphabet="abcd", min_size=1, max_size=8))
def test_the_lattice_finds_the_best_of_all_cuts(train, text):
    segmenter = UnigramSegmenter().fit(train)

    def weight(cut):
        if any(len(word) > segmenter.longest for word in cut):
            return -np.inf
        logp, new, letter = segmenter.logp, segmenter.new, segmenter.letter
        return sum(logp.get(word, new + len(word) * letter) for word in cut)

    cuts = (to_words(text, ["B", *tags]) for tags in product("BM", repeat=len(text) - 1))
    assert weight(segmenter.cut(text)) == pytest.approx(max(map(weight, cuts)))


def test_the_lattice_needs_words():
    with pytest.raises(ValueError, match="words is empty"):
        UnigramSegmenter().fit([])
    assert UnigramSegmenter().fit(["a"]).cut("") == []
