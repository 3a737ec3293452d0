"""Tokens, byte-pair encoding, vocabularies and batches."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, trainers

from nlpmeta import text
from nlpmeta.corpora import docs
from nlpmeta.text import PAD, UNK, BytePairEncoding, Vocabulary

# A text with ties, runs of one letter, several scripts and white space of several kinds.
SAMPLE = (
    "To learn to learn is to earn to learn. A banana bandana, aaaa aaa aa a!\n\n"
    "我爱你，我爱自然语言。 हिन्दी भाषा  naïve café\t3.14 and x_1 = (x_0 + x_2) / 2\n"
) * 3
any_text = st.text(max_size=60)


def real_text() -> str:
    """Docstrings of this package's own modules and of numpy: real text on every machine."""
    import nlpmeta

    folders = [Path(nlpmeta.__file__).parent, Path(np.__file__).parent / "lib"]
    files = sorted(path for folder in folders for path in folder.glob("*.py"))
    return "".join(path.read_text(encoding="utf-8") for path in files)[:600_000]


def reference(pieces: list[str], alphabet: list[str], size: int) -> tuple[Tokenizer, list]:
    """The BPE trainer of the tokenizers library on pieces already cut."""
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(pieces, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return tokenizer, [tuple(merge) for merge in merges]


# --- characters, words, pieces ---------------------------------------------------------------


@given(any_text)
def test_characters_and_pieces_lose_nothing(x):
    assert "".join(text.characters(x)) == x
    assert "".join(text.pieces(x)) == x


@given(any_text)
def test_words_lose_only_white_space(x):
    assert "".join(text.words(x)) == "".join(x.split())


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("", []),
        (" \t\n", []),
        ("it's O'Neil’s", ["it's", "O'Neil’s"]),
        ("'quoted'", ["'", "quoted", "'"]),
        ("1,000.50 v2.0", ["1,000.50", "v", "2.0"]),
        ("snake_case", ["snake", "_", "case"]),
        ("我爱NLP3次", ["我", "爱", "NLP", "3", "次"]),
        ("日本語のテスト", ["日", "本", "語", "のテスト"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("می‌خواهم", ["می‌خواهم"]),  # a zero-width non-joiner inside a Persian word
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),  # decomposed accents
    ],
)
def test_words(sentence, expected):
    assert text.words(sentence) == expected


@pytest.mark.parametrize("function", [text.characters, text.words, text.pieces])
@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["a", "b"]])
def test_text_must_be_a_string(function, bad):
    with pytest.raises(TypeError, match=r"text is of type .*; give a str"):
        function(bad)


# --- byte-pair encoding ----------------------------------------------------------------------


def test_merges_by_hand():
    """Worked in the chapter: "to learn to learn to earn"."""
    bpe = BytePairEncoding.train("to learn to learn to earn", 9, level="character")
    made = [bpe.tokens[a] + "+" + bpe.tokens[b] for a, b in bpe.merges]
    assert made[:5] == ["a+r", "e+ar", "t+o", "ear+n", " +l"]


def test_training_stops_when_no_pair_repeats():
    bpe = BytePairEncoding.train("abcd abxy", 99, level="character")
    assert [bpe.tokens[a] + bpe.tokens[b] for a, b in bpe.merges] == ["ab"]


@pytest.mark.parity(
    "bpe",
    "`BytePairEncoding.train`: merges and their order",
    "`tokenizers`, `BpeTrainer`, on a text full of ties, on real text, on the "
    "documentation corpus, and on Tiny Shakespeare where there is a copy",
    "exact",
)
@pytest.mark.parametrize("level", ["byte", "character"])
def test_parity_with_tokenizers_on_a_text_full_of_ties(level):
    check_parity(SAMPLE, 400, level)


@pytest.mark.parity("bpe", "`BytePairEncoding.encode`", "`tokenizers`, `Tokenizer.encode`", "exact")
@pytest.mark.parametrize("level", ["byte", "character"])
def test_parity_with_tokenizers_on_real_text(level):
    check_parity(real_text(), 3000, level)


@pytest.mark.parity
def test_parity_with_tokenizers_on_the_docs_corpus():
    check_parity(docs.text("train"), 4000, "byte")


@pytest.mark.parity
def test_parity_with_tokenizers_on_shakespeare(mirror):
    path = mirror / "tinyshakespeare" / "input.txt"
    check_parity(path.read_text(encoding="utf-8"), 4000, "character")


def check_parity(sample: str, n_merges: int, level: str) -> None:
    """Same merges in the same order, same encoding."""
    bpe = BytePairEncoding.train(sample, n_merges, level=level)

    def symbols(piece: str) -> str:
        return piece.encode().decode("latin-1") if level == "byte" else piece

    cut = [symbols(piece) for piece in text.pieces(sample)]
    alphabet = list(bpe.tokens[: len(bpe.tokens) - len(bpe.merges)])
    tokenizer, merges = reference(cut, alphabet, len(bpe.tokens))
    assert [(bpe.tokens[a], bpe.tokens[b]) for a, b in bpe.merges] == merges
    some = list(dict.fromkeys(cut))[:2000]
    expected = [token for piece in some for token in tokenizer.encode(piece).tokens]
    plain = [piece.encode("latin-1").decode() if level == "byte" else piece for piece in some]
    assert [token for piece in plain for token in bpe.tokenize(piece)] == expected


@given(any_text)
def test_byte_level_round_trip(x):
    bpe = BytePairEncoding.train(SAMPLE, 200)
    assert bpe.decode(bpe.encode(x)) == x
    assert "".join(bpe.tokenize(x)) == x.encode().decode("latin-1")


@given(st.text(alphabet=sorted(set(SAMPLE)), max_size=60))
def test_character_level_round_trip(x):
    bpe = BytePairEncoding.train(SAMPLE, 200, level="character")
    assert bpe.decode(bpe.encode(x)) == x
    assert len(bpe.encode(x)) <= len(x)


@settings(max_examples=30)
@given(st.text(alphabet="ab ", min_size=1, max_size=60), st.integers(0, 30))
def test_tokens_are_distinct_and_merges_never_lengthen(x, n_merges):
    bpe = BytePairEncoding.train(x, n_merges, level="character", min_count=1)
    assert len(set(bpe.tokens)) == len(bpe.tokens) == len(set(x)) + len(bpe.merges)
    fewer = BytePairEncoding.train(x, n_merges // 2, level="character", min_count=1)
    assert fewer.merges == bpe.merges[: n_merges // 2]
    assert len(bpe.encode(x)) <= len(fewer.encode(x)) <= len(x)


def test_decoding_broken_utf8_shows_the_replacement_character():
    bpe = BytePairEncoding.train("abc", 0)
    assert bpe.decode("我".encode()[:2]) == "\ufffd"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": ""}, "text is empty"),
        ({"n_merges": -1}, "n_merges is -1"),
        ({"min_count": 0}, "min_count is 0"),
        ({"level": "word"}, "level is 'word'; choose 'byte' or 'character'"),
    ],
)
def test_bad_training_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        BytePairEncoding.train(**{"text": "abc", "n_merges": 3, **arguments})


def test_unseen_character_and_unknown_id():
    bpe = BytePairEncoding.train("abc", 3, level="character")
    with pytest.raises(ValueError, match=r"'我'.*level='byte'"):
        bpe.encode("a我")
    with pytest.raises(ValueError, match="ids holds 99"):
        bpe.decode([0, 99])
    assert bpe.encode("").shape == (0,)
    assert bpe.decode([]) == ""


# --- vocabulary ------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abcde"), min_size=1))
def test_vocabulary_round_trip(tokens):
    vocabulary = Vocabulary.from_tokens(tokens)
    assert vocabulary.decode(vocabulary.encode(tokens)) == tokens
    assert vocabulary.tokens[:2] == (PAD, UNK)
    assert len(vocabulary) == len(set(tokens)) + 2


def test_vocabulary_orders_by_count_then_alphabet():
    assert Vocabulary.from_tokens("ccbbad", specials=()).tokens == ("b", "c", "a", "d")


def test_unknown_tokens():
    vocabulary = Vocabulary.from_tokens("aab", min_count=2)
    assert vocabulary.encode("ab").tolist() == [2, 1]
    closed = Vocabulary.from_tokens("ab", specials=())
    assert "a" in closed
    assert "z" not in closed
    with pytest.raises(ValueError, match="tokens holds 'z', which is not in the vocabulary"):
        closed.encode("az")


def test_vocabulary_is_frozen_and_refuses_repeats():
    vocabulary = Vocabulary(("a", "b"))
    with pytest.raises(AttributeError):
        vocabulary.tokens = ("c",)
    with pytest.raises(ValueError, match="tokens repeat 'a'"):
        Vocabulary(("a", "b", "a"))
    with pytest.raises(ValueError, match="min_count is 0"):
        Vocabulary.from_tokens("ab", min_count=0)
    with pytest.raises(ValueError, match="ids holds -1"):
        vocabulary.decode([-1])


# --- arrays ----------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=6))
def test_pad_keeps_every_sequence(sequences):
    padded = text.pad(sequences)
    assert padded.shape == (len(sequences), max(map(len, sequences)))
    assert [row[row > 0].tolist() for row in padded] == sequences


def test_pad_cuts_and_fills():
    assert text.pad([[1, 2, 3], [4]], value=9, length=2).tolist() == [[1, 2], [4, 9]]
    assert text.pad([[1], [2, 3]], length=3).tolist() == [[1, 0, 0], [2, 3, 0]]


@pytest.mark.parametrize(("sequences", "length"), [([], None), ([[1]], 0)])
def test_pad_bad_input(sequences, length):
    with pytest.raises(ValueError, match=r"sequences is empty|length is 0"):
        text.pad(sequences, length=length)


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 5))
def test_batches_visit_each_example_once(n, size, seed):
    seen = list(text.batches(n, size, np.random.default_rng(seed)))
    assert sorted(np.concatenate(seen).tolist()) == list(range(n))
    assert all(len(batch) == size for batch in seen[:-1])
    again = list(text.batches(n, size, np.random.default_rng(seed)))
    assert all((a == b).all() for a, b in zip(seen, again))


@pytest.mark.parametrize(("n", "size"), [(0, 3), (3, 0)])
def test_batches_bad_input(n, size):
    with pytest.raises(ValueError, match="both must be at least 1"):
        text.batches(n, size, np.random.default_rng(0))
