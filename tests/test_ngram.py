"""n-gram models against NLTK, against counts in dictionaries, and against their theorems."""

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.lm import MLE, KneserNeyInterpolated, Lidstone
from nltk.util import everygrams

from nlpmeta import ngram
from nlpmeta.ngram import SMOOTHINGS, NGramLM
from nlpmeta.text import UNK

texts = st.text("abcd", min_size=1, max_size=60)
orders = st.integers(1, 5)
queries = st.text("abcdz", max_size=7)  # z is never in a training text
KNESER_NEY = ("kneser-ney", "modified-kneser-ney")


def random_text(rng, length, alphabet="abcdef"):
    """A text in which some tokens are frequent and some contexts rare."""
    weights = 1 / np.arange(1, len(alphabet) + 1)
    return rng.choice(list(alphabet), length, p=weights / weights.sum()).tolist()


def ring(tokens, order):
    """A text whose beginning returns at its end, so that no n-gram lacks a left neighbor."""
    return [*tokens, *tokens[: order - 1]]


def nltk_fitted(model, tokens, order):
    model.fit([list(everygrams(tokens, max_len=order))], vocabulary_text=tokens)
    return model


# --- the definition, in dictionaries


class Dictionaries:
    """The formulas of the docstring, one n-gram at a time."""

    def __init__(self, tokens, order, smoothing, k=1.0, discounts=None):
        self.tokens, self.order, self.smoothing, self.k = list(tokens), order, smoothing, k
        self.v = len(set(tokens) | {UNK})
        self.discounts = discounts
        self.raw = [
            Counter(tuple(self.tokens[i : i + n]) for i in range(len(self.tokens) - n + 1))
            for n in range(order + 1)
        ]

    def count(self, gram):
        if self.smoothing in KNESER_NEY and len(gram) < self.order:
            return sum(longer[1:] == gram for longer in self.raw[len(gram) + 1])
        return self.raw[len(gram)][gram]

    def discount(self, gram, count):
        return self.discounts[len(gram) - 1][min(count, 3) - 1] if count else 0.0

    def p(self, token, context):
        known = sorted(set(self.tokens) | {UNK})
        counts = {w: self.count((*context, w)) for w in known}
        n, types = sum(counts.values()), sum(c > 0 for c in counts.values())
        lower = self.p(token, context[1:]) if context else 1 / self.v
        c = counts.get(token, 0)
        if self.smoothing == "add-k":
            return (c + self.k) / (n + self.k * self.v)
        if n == 0:
            return lower
        if self.smoothing == "mle":
            return c / n
        if self.smoothing == "witten-bell":
            return (c + types * lower) / (n + types)
        off = {w: self.discount((*context, w), c) for w, c in counts.items()}
        return (c - off.get(token, 0) + sum(off.values()) * lower) / n


@given(texts, orders, queries, st.sampled_from(SMOOTHINGS))
def test_equal_to_the_definition(text, order, query, smoothing):
    model = NGramLM(order, smoothing, k=0.3) if smoothing == "add-k" else NGramLM(order, smoothing)
    model.fit(text)
    definition = Dictionaries(text, order, smoothing, k=0.3, discounts=model.discounts)
    wanted = [
        definition.p(token if token in text else UNK, tuple(query[max(0, t - order + 1) : t]))
        for t, token in enumerate(query)
    ]
    np.testing.assert_allclose(np.exp(model.logprobs(query)), wanted, rtol=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_equal_to_the_definition_where_codes_exceed_64_bits(smoothing):
    """300 types to the power of 9 are too many for one integer."""
    rng = np.random.default_rng(0)
    some = [f"w{i}" for i in rng.integers(0, 300, 300)]
    tokens = some + some[50:250] + some[:100]
    model = NGramLM(9, smoothing).fit(tokens)
    assert len(model.vocabulary) ** 9 > 2**63
    definition = Dictionaries(tokens, 9, smoothing, discounts=model.discounts)
    query = [*tokens[120:150], "new", *tokens[60:80]]
    wanted = [definition.p(w, tuple(query[max(0, t - 8) : t])) for t, w in enumerate(query)]
    wanted[30] = definition.p(UNK, tuple(query[22:30]))
    np.testing.assert_allclose(np.exp(model.logprobs(query)), wanted, rtol=1e-12)


# --- NLTK


@pytest.mark.parity(
    "ngram",
    "interpolated Kneser-Ney, add-k, maximum likelihood",
    "NLTK's `KneserNeyInterpolated`, `Lidstone`, `MLE` on the same counts (texts closed "
    "to a ring for Kneser-Ney)",
    "`1e-10`",
)
@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("discount", [0.1, 0.75])
def test_kneser_ney_equals_nltk(order, discount):
    """On the same counts and with NLTK's discount at every order but the lowest, which has none."""
    rng = np.random.default_rng(order)
    tokens = ring(random_text(rng, 300), order)
    theirs = nltk_fitted(KneserNeyInterpolated(order, discount=discount), tokens, order)
    ours = NGramLM(order, discount=[0, *[discount] * (order - 1)]).fit(tokens)
    for _ in range(60):
        context = random_text(rng, rng.integers(0, order), "abcdefz")  # z is unknown
        p = np.exp(ours.next_logprobs(context))
        wanted = [theirs.score(token, context) for token in ours.vocabulary]
        np.testing.assert_allclose(p, wanted, rtol=1e-10, atol=1e-15)


@pytest.mark.parity
@given(st.text("abc", min_size=4, max_size=40), st.integers(2, 4), st.text("abcz", max_size=3))
def test_kneser_ney_equals_nltk_on_any_ring(text, order, context):
    tokens, context = ring(text, order), context[: order - 1]
    theirs = nltk_fitted(KneserNeyInterpolated(order), tokens, order)
    ours = NGramLM(order, discount=[0, *[0.1] * (order - 1)]).fit(tokens)
    p = np.exp(ours.next_logprobs(context))
    wanted = [theirs.score(token, list(context)) for token in ours.vocabulary]
    np.testing.assert_allclose(p, wanted, rtol=1e-10, atol=1e-15)


def test_where_nltk_departs_from_kneser_ney():
    """An n-gram that only begins the text has no left neighbor, which NLTK counts two ways.

    In "abaca" the bigram "ab" follows nothing. After "a", NLTK divides by the one continuation
    "ac" that has a left neighbor, but hands on the discount of two, so that its probabilities
    exceed one; after "x" in "xaaa" it divides by zero.
    """
    text = "abaca"
    theirs = nltk_fitted(KneserNeyInterpolated(3, discount=0.5), text, 3)
    ours = NGramLM(3, discount=[0, 0.5, 0.5]).fit(text)
    assert sum(theirs.score(w, ["a"]) for w in "abc") == pytest.approx(1.5)
    assert np.exp(ours.next_logprobs("a")).sum() == pytest.approx(1)
    for context in ("", "b", "c", "ab", "cb", "ac"):  # after all else the two agree
        wanted = [theirs.score(w, list(context)) for w in ours.vocabulary]
        np.testing.assert_allclose(np.exp(ours.next_logprobs(context)), wanted, atol=1e-15)
    with pytest.raises(ZeroDivisionError):
        nltk_fitted(KneserNeyInterpolated(3), "xaaa", 3).score("a", ["x"])
    lower = NGramLM(3).fit("xaaa")
    np.testing.assert_allclose(lower.next_logprobs("x"), lower.next_logprobs(""))


@pytest.mark.parity
@pytest.mark.parametrize("order", [1, 2, 3])
def test_add_k_and_mle_equal_nltk(order):
    rng = np.random.default_rng(order)
    tokens = random_text(rng, 200)
    add = nltk_fitted(Lidstone(0.2, order), tokens, order)
    most_likely = nltk_fitted(MLE(order), tokens, order)
    ours = [NGramLM(order, "add-k", k=0.2), NGramLM(order, "mle")]
    for model in ours:
        model.fit(tokens)
    for _ in range(40):
        context = random_text(rng, order - 1, "abcdefz")
        p = [np.exp(model.next_logprobs(context)) for model in ours]
        wanted = [add.score(w, context or None) for w in ours[0].vocabulary]
        np.testing.assert_allclose(p[0], wanted, rtol=1e-10)
        wanted = [most_likely.score(w, context or None) for w in ours[0].vocabulary]
        if sum(wanted) > 0:  # NLTK gives zeros where the context was never seen
            np.testing.assert_allclose(p[1], wanted, rtol=1e-10)


# --- what holds for every smoothing


@given(texts, orders, queries, st.sampled_from(SMOOTHINGS))
def test_distributions_sum_to_one(text, order, context, smoothing):
    model = NGramLM(order, smoothing).fit(text)
    assert np.exp(model.next_logprobs(context)).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_distributions_sum_to_one_after_every_context(smoothing):
    model = NGramLM(4, smoothing).fit(random_text(np.random.default_rng(1), 500))
    for length in range(4):
        for context in product("abcz", repeat=length):
            assert np.exp(model.next_logprobs(context)).sum() == pytest.approx(1, abs=1e-12)


@given(texts, orders, queries, st.sampled_from(SMOOTHINGS))
def test_logprobs_are_next_logprobs_step_by_step(text, order, query, smoothing):
    model = NGramLM(order, smoothing).fit(text)
    number = {token: i for i, token in enumerate(model.vocabulary)}
    steps = [
        model.next_logprobs(query[:t])[number.get(token, number[UNK])]
        for t, token in enumerate(query)
    ]
    np.testing.assert_allclose(model.logprobs(query), steps, rtol=1e-12)


@given(texts, orders, st.sampled_from(sorted(set(SMOOTHINGS) - {"mle"})))
def test_nothing_is_impossible(text, order, smoothing):
    model = NGramLM(order, smoothing).fit(text)
    assert np.isfinite(model.logprobs("zabzcdz")).all()
    assert (model.logprobs("zabzcdz") <= 0).all()


def test_a_fit_forgets_the_last_one():
    twice = NGramLM(3).fit("abracadabra").fit("banana")
    once = NGramLM(3).fit("banana")
    assert twice.vocabulary == once.vocabulary == ("a", "b", "n", UNK)
    np.testing.assert_array_equal(twice.logprobs("banana"), once.logprobs("banana"))


def test_tokens_may_be_any_strings():
    tokens = ["the", "cat", "and", "the", "dog", "and", "the", "fox"]
    model = NGramLM(2, "mle").fit(tokens)
    assert np.exp(model.logprobs(["the", "cat"])).tolist() == [3 / 8, 1 / 3]


def test_the_unknown_token_of_a_training_text_is_counted():
    model = NGramLM(1, "mle").fit(["a", UNK, "a", UNK])
    assert model.vocabulary == ("a", UNK)
    assert np.exp(model.logprobs(["a", "never seen"])).tolist() == [0.5, 0.5]


# --- maximum likelihood


def test_mle_backs_off_only_where_a_context_was_never_seen():
    model = NGramLM(3, "mle").fit("abac")
    p = dict(zip(model.vocabulary, np.exp(model.next_logprobs("ab"))))
    assert p == {"a": 1, "b": 0, "c": 0, UNK: 0}
    for unseen, shorter in (("cb", "b"), ("zz", ""), ("za", "a"), ("ac", "")):
        np.testing.assert_array_equal(model.next_logprobs(unseen), model.next_logprobs(shorter))
    assert model.logprobs("z").tolist() == [-math.inf]


@given(texts, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_no_other_table_makes_the_text_more_likely(text, order, seed):
    """Maximum likelihood: whatever follows a full context is predicted best by its own counts."""
    rng = np.random.default_rng(seed)
    model = NGramLM(order, "mle").fit(text)
    found = model.logprobs(text)[order - 1 :].sum()
    other: dict[str, np.ndarray] = {}
    total = 0.0
    for t in range(order - 1, len(text)):
        p = other.setdefault(text[t - order + 1 : t], rng.dirichlet(np.ones(5)))
        total += np.log(p[model.vocabulary.index(text[t])])
    assert total <= found + 1e-9


# --- Kneser and Ney's theorem


@pytest.mark.parametrize("order", [2, 3, 4])
def test_kneser_ney_keeps_the_marginals(order):
    """Drawn after the contexts of the text, each token is expected as often as it occurs.

    Without a discount at the lowest order exactly. With one, the product of all discounts is handed
    to the uniform distribution: a part of one token.
    """
    tokens = ring(random_text(np.random.default_rng(order), 400), order)
    counts, v = Counter(tokens[order - 1 :]), len(set(tokens)) + 1
    upper = np.random.default_rng(0).random(order - 1)
    for lowest in (0.0, 0.6):
        model = NGramLM(order, discount=[lowest, *upper]).fit(tokens)
        wanted = np.array([counts[w] for w in model.vocabulary], dtype=float)
        wanted += lowest * upper.prod() * np.array([-1 / v] * (v - 1) + [(v - 1) / v])
        np.testing.assert_allclose(expected_counts(model, tokens), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("smoothing", ["modified-kneser-ney", "witten-bell", "add-k"])
def test_other_smoothings_do_not_keep_them(smoothing):
    """Three discounts are not in proportion to the numbers of left neighbors."""
    tokens = ring(random_text(np.random.default_rng(3), 400), 3)
    model = NGramLM(3, smoothing).fit(tokens)
    counts = Counter(tokens[2:])
    wanted = np.array([counts[w] for w in model.vocabulary], dtype=float)
    gap = expected_counts(model, tokens) - wanted
    assert np.abs(gap).max() > 0.5
    assert gap.sum() == pytest.approx(0, abs=1e-9)


def expected_counts(model, tokens):
    """Sum of p(. | h) over all places of the text with a full context h."""
    n = model.order
    contexts = Counter(tuple(tokens[t - n + 1 : t]) for t in range(n - 1, len(tokens)))
    return sum(count * np.exp(model.next_logprobs(h)) for h, count in contexts.items())


# --- discounts


def test_discounts_from_counts_of_counts():
    """n1, n2, n3, n4 = 4, 2, 2, 1: Y = 4/8, so 1 - 2 Y 2/4, 2 - 3 Y 2/2 and 3 - 4 Y 1/2."""
    text = "abcdeeffggghhhiiii"
    assert NGramLM(1, "modified-kneser-ney").fit(text).discounts.tolist() == [[0.5, 0.5, 2.0]]
    assert NGramLM(1).fit(text).discounts.tolist() == [[0.5, 0.5, 0.5]]


def test_discounts_fall_back_where_counts_of_counts_are_zero():
    text = "aabb"  # no token occurs once
    assert NGramLM(1, "modified-kneser-ney").fit(text).discounts.tolist() == [[0.5, 1.0, 1.5]]
    assert NGramLM(1).fit(text).discounts.tolist() == [[0.5, 0.5, 0.5]]


@given(texts, orders)
def test_discounts_never_exceed_counts(text, order):
    for smoothing in KNESER_NEY:
        d = NGramLM(order, smoothing).fit(text).discounts
        assert ((d >= 0) & (d <= [1, 2, 3])).all()


# --- size


def test_a_hundred_thousand_tokens():
    rng = np.random.default_rng(0)
    tokens = random_text(rng, 100_000)
    for smoothing in SMOOTHINGS:
        logprobs = NGramLM(5, smoothing).fit(tokens).logprobs(tokens)
        assert np.isfinite(logprobs).all()
        assert math.isfinite(logprobs.sum())
        assert 1.5 < -logprobs.mean() / math.log(2) < math.log2(6)


def test_parameters_are_the_ngrams_and_their_contexts():
    model = NGramLM(2, "mle").fit("abab")  # a, b; ab, ba; after nothing, after a, after b
    assert model.n_parameters - 1 == 2 + 2 + 1 + 2  # and the place before the text
    assert model.nbytes > 8 * 2 * model.n_parameters


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"order": 0}, ValueError, "order is 0; it must be at least 1"),
        ({"order": -2}, ValueError, "order is -2"),
        ({"order": 2.0}, TypeError, "order is 2.0; give a whole number"),
        ({"order": True}, TypeError, "order is True"),
        ({"order": 2, "smoothing": "kn"}, ValueError, "smoothing is 'kn'; choose from kneser-ney"),
        ({"order": 2, "smoothing": "add-k", "k": math.nan}, ValueError, "k is nan"),
        ({"order": 2, "smoothing": "add-k", "k": math.inf}, ValueError, "k is inf"),
        ({"order": 2, "smoothing": "add-k", "k": 0}, ValueError, "k is 0; give a positive number"),
        ({"order": 2, "smoothing": "add-k", "k": -1}, ValueError, "k is -1"),
        ({"order": 2, "discount": 1.5}, ValueError, "discount is 1.5; it must lie from 0 to 1"),
        ({"order": 2, "discount": math.nan}, ValueError, "discount is nan"),
        ({"order": 2, "discount": [0.1] * 3}, ValueError, r"discount has shape \(3,\); give one"),
        ({"order": 2, "smoothing": "mle", "discount": 0.1}, ValueError, "discount is for smoothin"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        NGramLM(**arguments)


def test_an_empty_corpus():
    with pytest.raises(ValueError, match="tokens is empty; give at least one token"):
        NGramLM(2).fit([])


def test_tokens_that_are_no_strings():
    with pytest.raises(TypeError, match="tokens holds 3 of type int; give str"):
        NGramLM(2).fit(["a", 3])
    with pytest.raises(TypeError, match="give one sequence of str, not sentences"):
        NGramLM(2).fit([["a", "b"], ["c"]])


def test_a_model_that_is_not_fitted():
    for ask in (NGramLM(2).logprobs, NGramLM(2).next_logprobs):
        with pytest.raises(ValueError, match=r"not fitted; call fit\(tokens\) first"):
            ask("a")


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_a_text_shorter_than_the_order(smoothing):
    model = NGramLM(6, smoothing).fit("ab")
    for context in ("", "a", "b", "ab", "ababab", "z"):
        assert np.exp(model.next_logprobs(context)).sum() == pytest.approx(1)
    assert model.logprobs("").shape == (0,)
    assert np.exp(NGramLM(6, "mle").fit("ab").logprobs("ab")).tolist() == [0.5, 1]


def test_places_of_keys():
    keys = np.array([2, 5, 9])
    assert ngram._find(keys, np.array([9, 3, 2, 11, -4])).tolist() == [2, -1, 0, -1, -1]
    assert ngram._find(keys[:0], np.array([1, 2])).tolist() == [-1, -1]
