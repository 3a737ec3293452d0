"""Topics: every document mixes a few distributions over words, and both have to be found.

Latent Dirichlet allocation (Blei, Ng and Jordan 2003) as an estimator that is called like
scikit-learn's, with two ways to its posterior: the collapsed Gibbs sampler of
``nlpmeta.topic_gibbs`` and the variational Bayes of ``nlpmeta.topic_bayes``, whose functions are
handed on. Exports ``LDA`` and ``METHODS``.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from nlpmeta.topic_bayes import dirichlet_bound, dirichlet_log, expected_counts, infer_documents
from nlpmeta.topic_gibbs import (
    Counts,
    Tokens,
    count,
    gibbs_pass,
    log_joint,
    next_block,
    tokens_of,
)

__all__ = [
    "LDA",
    "METHODS",
    "Counts",
    "Tokens",
    "count",
    "dirichlet_bound",
    "dirichlet_log",
    "expected_counts",
    "gibbs_pass",
    "infer_documents",
    "log_joint",
    "next_block",
    "tokens_of",
]

METHODS = ("variational", "gibbs")


class LDA(TransformerMixin, BaseEstimator):
    """Latent Dirichlet allocation: the topics of a corpus and the mixture of them in each document.

    theta_d ~ Dirichlet(alpha), beta_k ~ Dirichlet(beta); each token draws a topic z ~ theta_d, then
    its word from beta_z (Blei, Ng and Jordan 2003; both priors symmetric). ``"variational"`` climbs
    the evidence bound by turns over documents and topics. Each pass infers the documents afresh, as
    scikit-learn does, for one that went on from its old mixture would hold old topics in place;
    should the bound fall by that, the documents that lost return to their old mixtures. ``"gibbs"``
    runs one chain of :func:`gibbs_pass` and averages the counts of the second half of its passes.

    Parameters
    ----------
    n_topics : int
    method : {"variational", "gibbs"}
    alpha, beta : float or None
        Priors of topics in documents and of words in topics; None takes 1 / n_topics, as
        scikit-learn does.
    n_passes : int
        Passes over the corpus.
    seed : int
        Of the generator that draws the start and the samples.
    block : int or None
        Tokens that the sampler moves together: 1 is Gibbs sampling token by token; None sets it by
        :func:`next_block` during the first half of the passes.

    Attributes
    ----------
    components_ : numpy.ndarray, shape (k, v)
        Parameters of the topics' Dirichlet posteriors: prior plus (expected, or sampled and
        averaged) counts.
    sample_ : numpy.ndarray, shape (k, v)
        Gibbs only: prior plus the counts of the last sample.
    document_topic_ : numpy.ndarray, shape (d, k)
        Mean mixtures of the documents given to ``fit``.
    history_ : list of float
        After each pass the evidence bound (variational) or log p(w, z) (Gibbs), in nats.
    moved_ : list of float
        Share of the tokens whose block moved, after each pass; empty for variational.

    Examples
    --------
    Two kinds of documents that share no word:

    >>> x = np.array([[4, 4, 0, 0], [3, 5, 0, 0], [0, 0, 4, 4], [0, 0, 6, 2]])
    >>> for method in METHODS:
    ...     lda = LDA(2, method).fit(x)
    ...     first = lda.topic_word[lda.transform(x)[0].argmax()]
    ...     print(first.argsort()[-2:], lda.transform([[0, 0, 0, 9]]).max().round(2))
    [0 1] 0.95
    [0 1] 0.95
    """

    def __init__(
        self,
        n_topics: int,
        method: str = "variational",
        alpha: float | None = None,
        beta: float | None = None,
        n_passes: int = 50,
        seed: int = 0,
        block: int | None = None,
    ) -> None:
        self.n_topics, self.method, self.alpha, self.beta = n_topics, method, alpha, beta
        self.n_passes, self.seed, self.block = n_passes, seed, block
        self._check()

    def fit(self, x: sp.sparray | sp.spmatrix | ArrayLike, y: None = None) -> Self:
        """Find the topics.

        Parameters
        ----------
        x : sparse matrix or array of counts, shape (d, v)
            How often each word stands in each document.
        y : None
            Ignored; scikit-learn's pipelines pass it.

        Returns
        -------
        LDA

        Raises
        ------
        ValueError
            If a setting is out of range, or ``x`` is empty, has an empty document, or holds a
            number that is not a count.
        """
        self._check()
        x = _word_counts(x)
        self.n_features_in_ = x.shape[1]
        self.history_, self.moved_ = [], []
        rng = np.random.default_rng(self.seed)
        (self._fit_gibbs if self.method == "gibbs" else self._fit_variational)(x, rng)
        return self

    def _fit_variational(self, x: sp.csr_array, rng: np.random.Generator) -> None:
        alpha, beta = self._priors()
        topics = rng.gamma(100, 1 / 100, (x.shape[1], self.n_topics)).T  # as Hoffman's code begins
        gamma, shape = None, (x.shape[0], self.n_topics)
        for _ in range(self.n_passes):
            log_words, topic_price = dirichlet_log(topics).T, dirichlet_bound(topics, beta).sum()
            found = infer_documents(x, log_words, alpha, rng.gamma(100, 1 / 100, shape))
            bounds = _bounds(x, alpha, *found)
            if gamma is not None and bounds.sum() + topic_price < self.history_[-1]:
                old = infer_documents(x, log_words, alpha, gamma, max_steps=0)
                found, bounds = _better(x, found, bounds, old, _bounds(x, alpha, *old))
            gamma, log_c = found
            self.history_.append(float(bounds.sum() + topic_price))
            topics = beta + expected_counts(x, log_words, gamma, log_c).T
        self.components_ = np.ascontiguousarray(topics)
        self.document_topic_ = _normalized(gamma)

    def _fit_gibbs(self, x: sp.csr_array, rng: np.random.Generator) -> None:
        alpha, beta = self._priors()
        tokens = tokens_of(x)
        n, shape = len(tokens.word), (*x.shape, self.n_topics)
        topic = rng.integers(self.n_topics, size=n)
        counts = count(tokens, topic, shape)
        sums = Counts(*(np.zeros_like(c) for c in counts))
        block = self.block or 64
        for step in range(self.n_passes):
            self.moved_.append(gibbs_pass(tokens, topic, counts, alpha, beta, block, rng))
            self.history_.append(log_joint(counts, alpha, beta))
            if step < self.n_passes // 2:
                block = self.block or next_block(block, self.moved_[-1])
                continue
            for total, now in zip(sums, counts):
                total += now
        kept = self.n_passes - self.n_passes // 2
        self.components_ = np.ascontiguousarray(beta + sums.word.T / kept)
        self.sample_ = np.ascontiguousarray(beta + counts.word.T)
        self.document_topic_ = _normalized(alpha + sums.document / kept)

    @property
    def topic_word(self) -> np.ndarray:
        """The mean topics, distributions over words, shape (k, v)."""
        check_is_fitted(self)
        return _normalized(self.components_)

    def transform(self, x: sp.sparray | sp.spmatrix | ArrayLike) -> np.ndarray:
        """Mean mixture of topics in each document, by variational inference under either method.

        Parameters
        ----------
        x : sparse matrix or array of counts, shape (d, v)

        Returns
        -------
        numpy.ndarray, shape (d, k)

        Raises
        ------
        ValueError
            As for :meth:`fit`, or if ``x`` has another number of words than the topics.
        """
        return _normalized(self._infer(self._same_words(x), self.components_)[0])

    def score(self, x: sp.sparray | sp.spmatrix | ArrayLike, y: None = None) -> float:
        """The evidence bound of documents in nats: at most their log-probability.

        sum_dw x_dw log c_dw - KL(gamma || alpha) - KL(topics || beta), the bound that
        scikit-learn's ``LatentDirichletAllocation.score`` computes. Under Gibbs the topics are
        those of the last sample, whose exact posterior given that sample is Dirichlet. Averaged
        counts are the parameters of no posterior: they spread thin over more words, and the
        divergence from the prior charges for each of them.

        Parameters
        ----------
        x : sparse matrix or array of counts, shape (d, v)
        y : None
            Ignored.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            As for :meth:`transform`.
        """
        x = self._same_words(x)
        alpha, beta = self._priors()
        topics = self.components_ if self.method == "variational" else self.sample_
        documents = _bounds(x, alpha, *self._infer(x, topics)).sum()
        return float(documents + dirichlet_bound(topics, beta).sum())

    def perplexity(self, x: sp.sparray | sp.spmatrix | ArrayLike) -> float:
        """exp(- score / tokens), as scikit-learn defines it.

        An upper bound, and it charges the whole price of the topics to these documents: it falls
        with the size of ``x``, so compare it on one set only. Most of it may be that price, which
        says how sparse the counts are rather than how well they predict;
        :meth:`completion_perplexity` measures prediction alone and is fair to both methods.

        Parameters
        ----------
        x : sparse matrix or array of counts, shape (d, v)

        Returns
        -------
        float

        Raises
        ------
        ValueError
            As for :meth:`transform`.
        """
        x = self._same_words(x)
        return math.exp(-self.score(x) / x.data.sum())

    def completion_perplexity(
        self, x: sp.sparray | sp.spmatrix | ArrayLike, rng: np.random.Generator
    ) -> float:
        """Perplexity of half of each document's tokens, its mixture being inferred from the rest.

        exp(- (1/N) sum log sum_k theta_dk beta_kw) over the N tokens of the second halves, with the
        mean theta_d given the first half and the mean topics (document completion; Wallach,
        Murray, Salakhutdinov and Mimno 2009). No bound, no price: it compares any two ways to
        topics.

        Parameters
        ----------
        x : sparse matrix or array of counts, shape (d, v)
        rng : numpy.random.Generator
            Deals the tokens of each document to the halves; of an odd number the first half has
            one more.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            As for :meth:`transform`, or if no document has two tokens.
        """
        x = self._same_words(x)
        tokens = tokens_of(x)
        shuffled = tokens.word[np.lexsort((rng.random(len(tokens.word)), tokens.document))]
        starts = np.cumsum(np.bincount(tokens.document)) - np.bincount(tokens.document)
        second = (np.arange(len(shuffled)) - starts[tokens.document]) % 2 == 1
        if not second.any():
            raise ValueError("x has no document of two tokens; give longer documents")
        d, w = tokens.document[~second], shuffled[~second]
        first = sp.csr_array(sp.coo_array((np.ones(len(d)), (d, w)), shape=x.shape))
        theta, words = _normalized(self._infer(first, self.components_)[0]), self.topic_word.T
        logs = 0.0
        for part in np.array_split(np.flatnonzero(second), 1 + second.sum() // 100_000):
            p = (theta[tokens.document[part]] * words[shuffled[part]]).sum(axis=1)
            logs += np.log(p).sum()
        return math.exp(-logs / second.sum())

    def _infer(self, x: sp.csr_array, topics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_words = dirichlet_log(topics).T
        return infer_documents(
            x, log_words, self._priors()[0], np.ones((x.shape[0], self.n_topics))
        )

    def _same_words(self, x: sp.sparray | sp.spmatrix | ArrayLike) -> sp.csr_array:
        check_is_fitted(self)
        x = _word_counts(x)
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"x has {x.shape[1]} words, but the topics were fitted on {self.n_features_in_}; "
                "count the words of the same vocabulary"
            )
        return x

    def _priors(self) -> tuple[float, float]:
        alpha, beta = (1 / self.n_topics if p is None else p for p in (self.alpha, self.beta))
        return alpha, beta

    def _check(self) -> None:
        for name, least in {"n_topics": 1, "n_passes": 1, "seed": 0, "block": 1}.items():
            value = getattr(self, name)
            if name == "block" and value is None:
                continue
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}; give an integer of at least {least}")
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}; give one of {', '.join(METHODS)}")
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}; give a positive number, or None")


def _word_counts(x: sp.sparray | sp.spmatrix | ArrayLike) -> sp.csr_array:
    """Counts in rows of documents, checked: duplicates added up, zeros left out."""
    if not sp.issparse(x):
        x = np.asarray(x)
        if x.dtype.kind not in "biuf":
            raise ValueError(f"x holds values of type {x.dtype}; give counts")
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x has shape {x.shape}; give at least one document and one word, (d, v)")
    x = sp.csr_array(x, dtype=float, copy=True)
    x.sum_duplicates()
    wrong = ~(np.isfinite(x.data) & (x.data >= 0) & (x.data == np.floor(x.data)))
    if wrong.any():
        raise ValueError(f"x holds {x.data[wrong][0]:g}; counts are whole numbers from 0 up")
    x.eliminate_zeros()
    empty = np.flatnonzero(np.diff(x.indptr) == 0)
    if len(empty):
        raise ValueError(
            f"document {empty[0]} of x has no words ({len(empty)} such in all); leave such rows out"
        )
    return x


Posterior = tuple[np.ndarray, np.ndarray]  # gamma and log_c, as infer_documents returns them


def _bounds(x: sp.csr_array, alpha: float, gamma: np.ndarray, log_c: np.ndarray) -> np.ndarray:
    """What each document adds to the evidence bound, shape (d,)."""
    return np.add.reduceat(x.data * log_c, x.indptr[:-1]) + dirichlet_bound(gamma, alpha)


def _better(
    x: sp.csr_array, one: Posterior, bounds: np.ndarray, other: Posterior, others: np.ndarray
) -> tuple[Posterior, np.ndarray]:
    """Of two posteriors of each document the one with the higher bound, and that bound."""
    swap = others > bounds  # (d,)
    cells = np.repeat(swap, np.diff(x.indptr))
    found = np.where(swap[:, None], other[0], one[0]), np.where(cells, other[1], one[1])
    return found, np.maximum(bounds, others)


def _normalized(rows: np.ndarray) -> np.ndarray:
    return rows / rows.sum(axis=1, keepdims=True)
