"""Latent Dirichlet allocation: exact where one can enumerate, at par with scikit-learn."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from nlpmeta import topics
from nlpmeta.corpora import docs
from nlpmeta.topic_gibbs import _excess
from nlpmeta.topics import LDA, METHODS, Tokens

ALPHA, BETA = 0.4, 0.3
TINY = sp.csr_array([[2, 1, 0], [0, 1, 1]])  # two documents, five tokens

counts = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 6), st.integers(1, 7)),
    elements=st.integers(0, 4),
).map(lambda x: np.where(x.sum(axis=1, keepdims=True) == 0, 1, x))
any_topics = st.integers(1, 4)
any_seed = st.integers(0, 2**32 - 1)


def corpus(n_documents: int, length: int, seed: int, n_topics: int = 5, n_words: int = 50):
    """Documents drawn from the model with sparse topics: counts and the true topics (k, v)."""
    rng = np.random.default_rng(seed)
    true = np.random.default_rng(0).dirichlet(np.full(n_words, 0.1), n_topics)
    mixtures = rng.dirichlet(np.full(n_topics, 0.2), n_documents)
    lengths = 1 + rng.poisson(length, n_documents)
    rows = [rng.multinomial(n, p) for n, p in zip(lengths, mixtures @ true)]
    return sp.csr_array(np.array(rows)), true


def best_match(found: np.ndarray, true: np.ndarray) -> float:
    """Mean total variation between true topics and found ones, matched as well as can be."""
    distance = np.abs(found[:, None] - true[None]).sum(axis=-1) / 2
    orders = itertools.permutations(range(len(true)))
    return min(distance[list(order), range(len(true))].mean() for order in orders)


def posterior(x: sp.csr_array, n_topics: int) -> dict[tuple[int, ...], float]:
    """log p(w, z) of every assignment z, token by token as an urn would draw them."""
    tokens = topics.tokens_of(x)
    table = {}
    for z in itertools.product(range(n_topics), repeat=len(tokens.word)):
        document, word = np.zeros((x.shape[0], n_topics)), np.zeros((n_topics, x.shape[1]))
        logp = 0.0
        for d, w, k in zip(*tokens, z):
            logp += math.log((document[d, k] + ALPHA) / (document[d].sum() + n_topics * ALPHA))
            logp += math.log((word[k, w] + BETA) / (word[k].sum() + x.shape[1] * BETA))
            document[d, k] += 1
            word[k, w] += 1
        table[z] = logp
    return table


# --- against enumeration ---------------------------------------------------------------------


@pytest.mark.parity(
    "topics",
    "the joint probability that the sampler uses",
    "enumeration on a tiny corpus",
    "`1e-10`, absolute",
)
def test_log_joint_is_that_of_the_urn():
    tokens = topics.tokens_of(TINY)
    for z, logp in posterior(TINY, 3).items():
        state = topics.count(tokens, np.array(z), (*TINY.shape, 3))
        assert topics.log_joint(state, ALPHA, BETA) == pytest.approx(logp, abs=1e-10)


@pytest.mark.parametrize("block", [1, 2, 5])
def test_gibbs_samples_the_posterior(block):
    """How often each of the 32 assignments comes up, whatever the size of the block.

    Renaming the two topics changes nothing, so an assignment and its mirror image count as one.
    """
    tokens, rng = topics.tokens_of(TINY), np.random.default_rng(0)
    z = np.zeros(5, int)
    state = topics.count(tokens, z, (*TINY.shape, 2))
    table = {z: math.exp(logp) for z, logp in posterior(TINY, 2).items() if z[0] == 0}
    seen, n = dict.fromkeys(table, 0), 10_000 // math.ceil(5 / block)
    for _ in range(n):
        topics.gibbs_pass(tokens, z, state, ALPHA, BETA, block, rng)
        seen[tuple((z ^ z[0]).tolist())] += 1
    evidence = sum(table.values())
    assert sum(abs(seen[z] / n - p / evidence) for z, p in table.items()) / 2 < 0.045


@given(counts.filter(lambda x: 2 <= x.sum() <= 8), any_seed)
@settings(max_examples=25)
def test_the_ratio_of_a_block_is_exact(x, seed):
    """log p - log q of a block, from all assignments of its tokens, is what the sampler uses."""
    rng, k = np.random.default_rng(seed), 2
    tokens = topics.tokens_of(sp.csr_array(x))
    z = rng.integers(k, size=len(tokens.word))
    here = rng.permutation(len(z))[: rng.integers(1, min(4, len(z)) + 1)]
    rest = np.setdiff1d(np.arange(len(z)), here)
    others = topics.count(Tokens(*(t[rest] for t in tokens)), z[rest], (*x.shape, k))
    d, w = tokens.document[here], tokens.word[here]
    conditional = (
        others.document[d] + ALPHA,
        others.word[w] + BETA,
        others.total + x.shape[1] * BETA,
    )
    q = conditional[0] * conditional[1] / conditional[2]
    q /= q.sum(axis=1, keepdims=True)
    difference = []
    for new in itertools.product(range(k), repeat=len(here)):
        z[here] = new
        p = topics.log_joint(topics.count(tokens, z, (*x.shape, k)), ALPHA, BETA)
        exact = p - np.log(q[np.arange(len(here)), new]).sum()
        difference.append(exact - _excess(d, w, np.array(new), *conditional))
    assert np.ptp(difference) < 1e-9


@given(any_seed)
@settings(max_examples=10)
def test_the_bound_is_below_the_evidence(seed):
    """And the bound that fitting records is the one that ``score`` gives for those topics."""
    evidence = logsumexp(list(posterior(TINY, 2).values()))
    lda = LDA(2, alpha=ALPHA, beta=BETA, n_passes=30, seed=seed).fit(TINY)
    assert evidence - 5 < lda.history_[-1] <= evidence
    assert lda.score(TINY) <= evidence


# --- invariants ------------------------------------------------------------------------------


@given(counts, any_topics, any_seed, st.sampled_from([0.01, 0.3, 2.0]))
def test_the_bound_never_falls(x, n_topics, seed, prior):
    history = LDA(n_topics, alpha=prior, beta=prior, n_passes=15, seed=seed).fit(x).history_
    assert np.all(np.diff(history) >= -1e-8 * np.abs(history[:-1]))


@given(counts, any_topics, any_seed, st.integers(1, 9))
def test_gibbs_counts_stay_the_counts(x, n_topics, seed, block):
    tokens, rng = topics.tokens_of(sp.csr_array(x)), np.random.default_rng(seed)
    z = rng.integers(n_topics, size=x.sum())
    state = topics.count(tokens, z, (*x.shape, n_topics))
    for _ in range(3):
        moved = topics.gibbs_pass(tokens, z, state, ALPHA, BETA, block, rng)
        assert 0 <= moved <= 1
        assert moved == 1 or block > 1
        for kept, counted in zip(state, topics.count(tokens, z, (*x.shape, n_topics))):
            np.testing.assert_array_equal(kept, counted)
    np.testing.assert_array_equal(state.document.sum(axis=1), x.sum(axis=1))
    np.testing.assert_array_equal(state.word.sum(axis=1), x.sum(axis=0))


@given(counts, any_topics, st.sampled_from(METHODS), any_seed)
def test_distributions_sum_to_one(x, n_topics, method, seed):
    lda = LDA(n_topics, method, n_passes=4, seed=seed).fit(x)
    for rows in (lda.topic_word, lda.transform(x), lda.document_topic_):
        assert np.all(rows > 0)
        np.testing.assert_allclose(rows.sum(axis=1), 1)
    assert lda.components_.sum() == pytest.approx(x.sum() + x.shape[1])  # counts and priors
    assert lda.perplexity(x) >= 1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_topics_and_leaves_x_alone(method):
    x, _ = corpus(40, 20, seed=1)
    before = x.copy()
    first, second = (LDA(3, method, n_passes=5, seed=4).fit(x).components_ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    other = LDA(3, method, n_passes=5, seed=5).fit(x).components_
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(x.toarray(), before.toarray())


@pytest.mark.parametrize("method", METHODS)
def test_any_form_of_the_same_counts(method):
    x, _ = corpus(20, 20, seed=1)
    want = LDA(3, method, n_passes=3).fit(x).components_
    twice = sp.coo_array(x)  # each cell in two parts, and cells that hold 0
    row, column = (np.concatenate([i, i, [0, 1]]) for i in twice.coords)
    parts = sp.coo_array((np.r_[twice.data, 0 * twice.data, 0, 0], (row, column)), shape=x.shape)
    forms = (x.toarray(), x.toarray().tolist(), x.astype("float32"), sp.csc_matrix(x), parts)
    for form in forms:
        np.testing.assert_allclose(LDA(3, method, n_passes=3).fit(form).components_, want)


def test_a_document_is_inferred_without_the_others():
    x, _ = corpus(30, 20, seed=2)
    lda = LDA(4, n_passes=10).fit(x)
    together = lda.transform(x)
    for i in range(x.shape[0]):
        np.testing.assert_allclose(lda.transform(x[[i]])[0], together[i], atol=5e-3)


@pytest.mark.parametrize("method", METHODS)
def test_one_topic_is_the_smoothed_unigram(method):
    x, _ = corpus(20, 15, seed=3)
    lda = LDA(1, method, beta=0.5).fit(x)
    unigram = x.sum(axis=0) + 0.5
    np.testing.assert_allclose(lda.topic_word[0], unigram / unigram.sum())
    np.testing.assert_array_equal(lda.transform(x), np.ones((20, 1)))


def test_completion_perplexity_by_hand():
    """One topic, so the first half does not matter; each document hides one of its two words."""
    x = np.array([[2, 0], [0, 2]])
    lda = LDA(1, beta=1.0).fit(np.array([[3, 0], [0, 3]]))
    lda.components_ = np.array([[3.0, 1.0]])
    want = math.exp(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    assert lda.completion_perplexity(x, np.random.default_rng(0)) == pytest.approx(want)


# --- at par ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_topics_of_a_synthetic_corpus_are_found(method):
    """By the best of three starts: either method can end with two topics in one."""
    x, true = corpus(300, 80, seed=0)
    fits = [LDA(5, method, 0.2, 0.1, n_passes=40, seed=seed).fit(x) for seed in range(3)]
    found = max(fits, key=lambda lda: lda.history_[-1]).topic_word
    assert best_match(found, true) < 0.08


@pytest.mark.parity(
    "topics",
    "variational `LDA`: bound, perplexity of held-out text",
    "`sklearn.decomposition.LatentDirichletAllocation`",
    "`1e-4`, `5e-4`",
)
@pytest.mark.parametrize("method", METHODS)
def test_mixtures_bound_and_perplexity_of_given_topics_are_those_of_scikit_learn(method):
    """scikit-learn with our topics, Gibbs' too: the definitions are the same.

    Under Gibbs, mixtures are those of the averaged topics and the bound is that of the last sample.
    """
    x, _ = corpus(150, 40, seed=0)
    held_out, _ = corpus(60, 40, seed=1)
    ours = LDA(5, method, n_passes=10).fit(x)
    theirs = LatentDirichletAllocation(5, max_iter=1, random_state=0).fit(x)

    def give(components: np.ndarray) -> None:
        theirs.components_ = components
        theirs.exp_dirichlet_component_ = np.exp(topics.dirichlet_log(components))

    give(ours.components_)
    np.testing.assert_allclose(ours.transform(held_out), theirs.transform(held_out), atol=5e-3)
    give(ours.sample_ if method == "gibbs" else ours.components_)
    assert ours.score(held_out) == pytest.approx(theirs.score(held_out), rel=1e-4)
    assert ours.perplexity(held_out) == pytest.approx(theirs.perplexity(held_out), rel=5e-4)


@pytest.mark.parity
def test_held_out_perplexity_is_within_two_percent_of_scikit_learn():
    """Equal topics, priors and passes, each from starts of its own: the medians of five.

    Gibbs does not climb the bound that scikit-learn's perplexity is made of, so it is compared by
    the completion of documents, which is computed for scikit-learn's topics by the same code.
    """
    x, _ = corpus(150, 60, seed=0)
    held_out, _ = corpus(100, 60, seed=1)

    def completion(lda: LDA) -> float:
        return lda.completion_perplexity(held_out, np.random.default_rng(0))

    bound, completed = {"theirs": [], "variational": []}, {"theirs": [], **{m: [] for m in METHODS}}
    for seed in range(5):
        theirs = LatentDirichletAllocation(5, max_iter=30, random_state=seed).fit(x)
        ours = {m: LDA(5, m, n_passes=30, seed=seed).fit(x) for m in METHODS}
        bound["theirs"].append(theirs.perplexity(held_out))
        bound["variational"].append(ours["variational"].perplexity(held_out))
        for method in METHODS:
            completed[method].append(completion(ours[method]))
        ours["gibbs"].components_ = theirs.components_
        completed["theirs"].append(completion(ours["gibbs"]))
    for values in (bound, completed):
        median = {name: np.median(seeds) for name, seeds in values.items()}
        theirs = median.pop("theirs")
        assert all(abs(ours / theirs - 1) < 0.02 for ours in median.values()), (theirs, median)


def modules(part: str, step: int) -> list[str]:
    """Every so many modules of the docs corpus with ten sentences or more, a text each."""
    own: dict[str, list[str]] = {}
    for sentence in docs.load(part):
        own.setdefault(sentence.module, []).append(sentence.text)
    return [" ".join(sentences) for sentences in own.values() if len(sentences) > 9][::step]


@pytest.mark.parity(
    "topics",
    "both methods trained on docstrings: completed documents, and the bound",
    "`LatentDirichletAllocation` at equal topics, priors and passes",
    "at most `2e-2` worse",
)
def test_on_docstrings_both_methods_are_as_good_as_scikit_learn():
    """At most two percent above, at equal topics, priors and passes; medians of three starts.

    Prediction is compared by the completion of documents, which asks for the words of held-out
    text and nothing else. The bound charges for the topics as well, on this little text more than a
    nat for each held-out token, and less the sparser the counts. So by the bound the averaged
    counts of Gibbs, which predict better than one sample, would look worse by a sixth.
    """
    vectorizer = CountVectorizer(min_df=5, max_df=0.2, stop_words="english")
    x = sp.csr_array(vectorizer.fit_transform(modules("train", 8)))
    held_out = sp.csr_array(vectorizer.transform(modules("test", 4)))
    x, held_out = (part[np.diff(part.indptr) > 1] for part in (x, held_out))
    completed, bounds = ({name: [] for name in ("theirs", *METHODS)} for _ in range(2))
    for seed in range(3):
        for method in METHODS:
            ours = LDA(10, method, n_passes=20, seed=seed).fit(x)
            bounds[method].append(ours.perplexity(held_out))
            completed[method].append(ours.completion_perplexity(held_out, np.random.default_rng(0)))
        theirs = LatentDirichletAllocation(10, max_iter=20, random_state=seed).fit(x)
        bounds["theirs"].append(theirs.perplexity(held_out))
        ours.components_ = theirs.components_
        completed["theirs"].append(ours.completion_perplexity(held_out, np.random.default_rng(0)))
    for values in (completed, bounds):
        median = {name: np.median(seeds) for name, seeds in values.items()}
        theirs = median.pop("theirs")
        assert all(ours < 1.02 * theirs for ours in median.values()), (theirs, median)


@pytest.mark.parametrize("method", METHODS)
def test_in_a_pipeline(method):
    texts = ["a tree is a graph", "a graph has edges", "an array has a shape", "shape of the array"]
    pipeline = make_pipeline(CountVectorizer(), LDA(2, method, n_passes=5))
    assert clone(pipeline).fit_transform(texts).shape == (4, 2)
    assert clone(pipeline[-1]).get_params() == pipeline[-1].get_params()


# --- hard but right, and wrong ---------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prior", [1e-6, 1e3])
def test_extreme_priors_and_counts_stay_finite(method, prior):
    x = np.array([[5000, 0, 0, 1], [0, 1, 0, 0], [0, 3, 4000, 0]])
    lda = LDA(3, method, alpha=prior, beta=prior, n_passes=3).fit(x)
    assert np.isfinite(lda.components_).all()
    assert np.isfinite(lda.history_).all()
    assert np.isfinite(lda.transform(np.array([[0, 0, 0, 2], [1, 1, 1, 1]]))).all()
    assert lda.score(np.array([[0, 9, 0, 9]])) > -math.inf


@pytest.mark.parametrize("method", METHODS)
def test_a_word_that_no_document_has_keeps_its_prior(method):
    lda = LDA(2, method, beta=0.5, n_passes=5).fit(np.array([[3, 0, 1], [2, 0, 2]]))
    np.testing.assert_allclose(lda.components_[:, 1], 0.5)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 3)), r"x has shape \(0, 3\)"),
        (np.zeros((3, 0)), r"x has shape \(3, 0\)"),
        (np.ones(3), r"x has shape \(3,\)"),
        (np.zeros((2, 3)), r"document 0 of x has no words \(2 such in all\)"),
        (sp.csr_array([[1, 2], [0, 0]]), r"document 1 of x has no words"),
        ([[1, -1], [1, 1]], "x holds -1; counts"),
        ([[1, 0.5], [1, 1]], r"x holds 0\.5; counts"),
        ([[1, math.nan], [1, 1]], "x holds nan; counts"),
        (sp.csr_array([[1, math.inf], [1, 1]]), "x holds inf; counts"),
        ([["a", "b"]], "x holds values of type"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_corpus(x, message, method):
    with pytest.raises(ValueError, match=message):
        LDA(2, method).fit(x)
    fitted = LDA(2, method, n_passes=1).fit(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"x h|document"):
        fitted.transform(x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_topics": 0}, "n_topics is 0; give an integer of at least 1"),
        ({"n_topics": 2.5}, "n_topics is 2.5"),
        ({"n_topics": True}, "n_topics is True"),
        ({"n_topics": 2, "method": "em"}, "method is 'em'; give one of variational, gibbs"),
        ({"n_topics": 2, "alpha": 0.0}, "alpha is 0.0; give a positive number"),
        ({"n_topics": 2, "beta": math.nan}, "beta is nan"),
        ({"n_topics": 2, "n_passes": 0}, "n_passes is 0"),
        ({"n_topics": 2, "seed": -1}, "seed is -1"),
        ({"n_topics": 2, "block": 0}, "block is 0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        LDA(**settings)
    with pytest.raises(ValueError, match=message):
        LDA(2).set_params(**settings).fit(np.ones((2, 2)))


def test_another_vocabulary_and_no_fit():
    lda = LDA(2, n_passes=1)
    for method in (lda.transform, lda.score, lda.perplexity):
        with pytest.raises(ValueError, match="not fitted"):
            method(np.ones((2, 2)))
    lda.fit(np.ones((2, 2)))
    for method in (lda.transform, lda.score, lda.perplexity):
        with pytest.raises(ValueError, match="x has 3 words, but the topics were fitted on 2"):
            method(np.ones((2, 3)))
    with pytest.raises(ValueError, match="x has no document of two tokens"):
        lda.completion_perplexity(np.eye(2), np.random.default_rng(0))
