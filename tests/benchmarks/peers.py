"""The pairs that are timed: one task each, done by our module and by the peer on the same data.

A pair gives two programs that do the same work, and judges what each of them found by one measure.
``full`` chooses between the data that are timed and a small part of them, on which the tests check
the pair itself.
"""

from __future__ import annotations

import itertools
import logging
import tempfile
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from nlpmeta.corpora import docs

SEED = 0


class Side(NamedTuple):
    """A program: ``run`` is what is timed, ``judge`` measures the quality of what it found."""

    run: Callable[[], Any]
    judge: Callable[[Any], float]


class Pair(NamedTuple):
    """Two programs for one task."""

    task: str
    data: str
    peer: str  # name of its distribution
    measure: str  # what is judged
    close: float  # largest relative difference between what the two are judged
    ours: Side
    theirs: Side
    why_behind: str  # what would explain a ratio below one
    rounds: int = 3


# --- maximum entropy -----------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _libraries(full: bool) -> tuple[sparse.csr_array, np.ndarray]:
    """Word uni- and bigrams of sentences, and the library that each comes from."""
    sentences = docs.load("train")[:: 2 if full else 60]
    vectorizer = CountVectorizer(ngram_range=(1, 2), min_df=2 if full else 1, binary=True)
    features = vectorizer.fit_transform([sentence.text for sentence in sentences])
    labels = np.array([sentence.library for sentence in sentences])
    return sparse.csr_array(features.astype(float)), labels


def _maxent(full: bool, solver: str, tol: float, their_tol: float) -> Pair:
    from sklearn.linear_model import LogisticRegression

    from nlpmeta.maxent import MaxEntClassifier

    features, labels = _libraries(full)
    classes, codes = np.unique(labels, return_inverse=True)

    def ours() -> MaxEntClassifier:
        return MaxEntClassifier(l2=1.0, tol=tol).fit(features, labels)

    def theirs() -> LogisticRegression:
        model = LogisticRegression(
            C=1.0, solver=solver, tol=their_tol, max_iter=2000, random_state=SEED
        )
        return model.fit(features, labels)

    def objective(model: Any) -> float:
        scores = features @ model.coef_.T + model.intercept_
        log_z = np.logaddexp.reduce(scores, axis=1)
        loss = (log_z - scores[np.arange(len(codes)), codes]).sum()
        return float(loss + (model.coef_**2).sum() / 2)

    return Pair(
        f"Maximum entropy classifier, L2, against {solver}",
        f"{features.shape[0]:,} sentences, {features.shape[1]:,} features, {len(classes)} classes",
        "scikit-learn",
        "objective, nats",
        1e-4,
        Side(ours, objective),
        Side(theirs, objective),
        "Both spend their time in SciPy's sparse products and L-BFGS; they differ in the number of "
        "steps.",
    )


def maxent_lbfgs(full: bool) -> Pair:
    """L-BFGS against L-BFGS."""
    return _maxent(full, "lbfgs", 1e-5, 1e-5)._replace(rounds=2)


def maxent_saga(full: bool) -> Pair:
    """L-BFGS against a stochastic method."""
    return _maxent(full, "saga", 1e-5, 1e-4 if full else 1e-6)._replace(rounds=1)


# --- n-grams -------------------------------------------------------------------------------------


def _ring(size: int, order: int) -> list[str]:
    """The first characters of the corpus and their beginning again, where NLTK's counts agree."""
    text = docs.text("train")[:size]
    return list(text + text[: order - 1])


def _nltk(tokens: list[str], order: int) -> Any:
    from nltk.lm import KneserNeyInterpolated
    from nltk.util import everygrams

    model = KneserNeyInterpolated(order, discount=0.75)
    model.fit([list(everygrams(tokens, max_len=order))], vocabulary_text=tokens)
    return model


def _ngram(tokens: list[str], order: int) -> Any:
    from nlpmeta.ngram import NGramLM

    return NGramLM(order, discount=[0.0, *[0.75] * (order - 1)]).fit(tokens)


def _nltk_logprobs(model: Any, tokens: list[str], order: int) -> np.ndarray:
    return np.log(
        [model.score(tokens[i], tokens[i - order + 1 : i]) for i in range(order - 1, len(tokens))]
    )


def ngram_training(full: bool) -> Pair:
    """Counting n-grams."""
    order, size = 5, 200_000 if full else 3_000
    tokens, probe = _ring(size, order), list(docs.text("train")[:40])
    return Pair(
        f"Interpolated Kneser-Ney of order {order}, training",
        f"{size:,} characters",
        "nltk",
        "bits per character of 36 characters",
        1e-9,
        Side(
            lambda: _ngram(tokens, order),
            lambda model: float(-model.logprobs(probe)[order - 1 :].mean() / np.log(2)),
        ),
        Side(
            lambda: _nltk(tokens, order),
            lambda model: float(-_nltk_logprobs(model, probe, order).mean() / np.log(2)),
        ),
        "NLTK only counts when it trains, and smooths when it scores.",
    )


def ngram_scoring(full: bool) -> Pair:
    """Probabilities of a text, token by token."""
    order, size, scored = 3, 20_000 if full else 2_000, 1_000 if full else 50
    tokens = _ring(size, order)
    text = tokens[: scored + order - 1]
    ours, theirs = _ngram(tokens, order), _nltk(tokens, order)
    return Pair(
        f"Interpolated Kneser-Ney of order {order}, scoring",
        f"{scored:,} characters under a model of {size:,}",
        "nltk",
        "bits per character",
        1e-9,
        Side(
            lambda: ours.logprobs(text)[order - 1 :],
            lambda logprobs: float(-logprobs.mean() / np.log(2)),
        ),
        Side(
            lambda: _nltk_logprobs(theirs, text, order),
            lambda logprobs: float(-logprobs.mean() / np.log(2)),
        ),
        "For few tokens the fixed cost of array operations counts.",
    )


# --- hidden Markov models ------------------------------------------------------------------------


def _letters(full: bool) -> tuple[list[np.ndarray], int]:
    """Sentences as sequences of integers, and the number of different ones."""
    sentences = [s.text.lower() for s in docs.load("train")[:: 20 if full else 2000]]
    numbers = {c: i for i, c in enumerate(sorted(set("".join(sentences))))}
    return [np.array([numbers[c] for c in text]) for text in sentences], len(numbers)


def _hmms(k: int, v: int, iterations: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Ours and hmmlearn's with the same random parameters."""
    from hmmlearn.hmm import CategoricalHMM

    from nlpmeta.hmm import HMM

    rng = np.random.default_rng(SEED)
    start, transition = rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k), size=k)
    emission = rng.dirichlet(np.ones(v), size=k)

    def ours() -> HMM:
        model = HMM(k, v)
        model.start, model.transition, model.emission = start, transition, emission
        return model

    def theirs() -> CategoricalHMM:
        model = CategoricalHMM(
            k, init_params="", n_iter=iterations, tol=-np.inf, implementation="scaling"
        )
        model.n_features = v
        model.startprob_, model.transmat_, model.emissionprob_ = start, transition, emission
        return model

    return ours, theirs


def hmm_viterbi(full: bool) -> Pair:
    """The best paths of all sentences."""
    sentences, v = _letters(full)
    ours, theirs = (make() for make in _hmms(10, v, 1))
    column, lengths = np.concatenate(sentences)[:, None], [len(s) for s in sentences]

    def path_score(paths: np.ndarray) -> float:
        states = np.split(paths, np.cumsum(lengths)[:-1])
        return sum(ours.log_joint(x, z) for x, z in zip(sentences, states))

    return Pair(
        "Viterbi, 10 states",
        f"{len(sentences):,} sentences, {len(column):,} characters",
        "hmmlearn",
        "log-probability of the paths",
        1e-9,
        Side(lambda: np.concatenate(ours.viterbi(sentences)), path_score),
        Side(lambda: theirs.decode(column, lengths)[1], path_score),
        "hmmlearn's Viterbi is a compiled loop that keeps a step in registers; ours is one array "
        "operation for each position and goes through memory several times.",
    )


def hmm_baum_welch(full: bool) -> Pair:
    """Ten steps of expectation-maximization from the same start."""
    sentences, v = _letters(full)
    iterations = 10
    ours, theirs = _hmms(10, v, iterations)
    column, lengths = np.concatenate(sentences)[:, None], [len(s) for s in sentences]
    return Pair(
        f"Baum-Welch, 10 states, {iterations} steps",
        f"{len(sentences):,} sentences, {len(column):,} characters",
        "hmmlearn",
        "log-likelihood after it",
        1e-8,
        Side(
            lambda: ours().fit(sentences, iterations=iterations, tolerance=-np.inf),
            lambda model: float(model.score(sentences).sum()),
        ),
        Side(
            lambda: theirs().fit(column, lengths),
            lambda model: float(model.score(column, lengths)),
        ),
        "hmmlearn's forward-backward is a compiled loop; ours is one array operation for each "
        "position.",
    )


# --- conditional random fields -------------------------------------------------------------------


def _crf(task: str, X: list, y: list, c1: float, c2: float) -> Pair:
    import pycrfsuite

    from nlpmeta.crf import LinearChainCRF

    def theirs() -> float:
        trainer = pycrfsuite.Trainer(verbose=False)
        trainer.select("lbfgs")
        trainer.set_params({"c1": c1, "c2": c2})
        for tokens, labels in zip(X, y):
            trainer.append(tokens, labels)
        with tempfile.TemporaryDirectory() as folder:
            trainer.train(str(Path(folder) / "model"))
        return trainer.logparser.last_iteration["loss"]

    features = len({name for sequence in X for token in sequence for name in token})
    labels = len({label for sequence in y for label in sequence})
    return Pair(
        task,
        f"{len(X):,} sequences, {sum(map(len, X)):,} tokens, {features:,} features, "
        f"{labels} labels",
        "python-crfsuite",
        "objective, nats",
        1e-3,
        Side(
            lambda: LinearChainCRF(l1=c1, l2=2 * c2).fit(X, y),
            lambda model: float(model.objectives_[-1]),
        ),
        Side(theirs, float),
        "CRFsuite is compiled C with vectorized exponentials; ours pays array operations for each "
        "position, which few or short sequences do not fill.",
        rounds=2,
    )


def crf_segmentation(full: bool) -> Pair:
    """Word segmentation: few labels, long sequences."""
    from nlpmeta.tagging import window

    templates = [(0,), (-1,), (1,), (-2,), (2,), (-1, 0), (0, 1), (-2, -1), (1, 2), (-1, 0, 1)]
    sentences = [s.text.split() for s in docs.load("train")[:: 60 if full else 1000]]
    X = [window("".join(words), templates) for words in sentences]
    y = [
        list("".join("S" if len(w) == 1 else "B" + "M" * (len(w) - 2) + "E" for w in words))
        for words in sentences
    ]
    return _crf("CRF, L2: word segmentation", X, y, 0.0, 0.5)


def _sections(full: bool) -> tuple[list, list]:
    from nlpmeta.tagging import line_features

    found = docs.lines("train")[:: 10 if full else 200]
    return [line_features(d.lines) for d in found], [list(d.sections) for d in found]


def crf_sections(full: bool) -> Pair:
    """Sections of docstring lines: many features."""
    return _crf("CRF, L2: sections of docstrings", *_sections(full), 0.0, 0.5)


def crf_sections_l1(full: bool) -> Pair:
    """The same with both penalties."""
    X, y = _sections(full)
    X, y = (X[::2], y[::2]) if full else (X, y)
    return _crf("CRF, L1 and L2: sections of docstrings", X, y, 0.1, 0.1)._replace(
        why_behind="Under L1 ours evaluates the objective about twice a step: a step that is "
        "cut at zero often has to be shortened."
    )


# --- belief propagation --------------------------------------------------------------------------


def _tree(n: int, k: int) -> Any:
    """A random tree of ``n`` variables with ``k`` values each."""
    from nlpmeta.factor_graph import FactorGraph

    rng = np.random.default_rng(SEED)
    graph = FactorGraph()
    graph.add_factor(["v0"], rng.random(k))
    for i in range(1, n):
        graph.add_factor([f"v{rng.integers(i)}", f"v{i}"], rng.random((k, k)) ** 2)
    return graph


def _pgmpy(graph: Any) -> Any:
    with warnings.catch_warnings():  # its import speaks of what is deprecated
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            from pgmpy.factors.discrete import DiscreteFactor
            from pgmpy.models import DiscreteMarkovNetwork
        finally:
            logging.disable(logging.NOTSET)
    model = DiscreteMarkovNetwork()
    model.add_nodes_from(graph.variables)
    for scope, table in graph.factors:
        model.add_edges_from(itertools.combinations(scope, 2))
        model.add_factors(DiscreteFactor(list(scope), table.shape, np.exp(table)))
    return model


def belief_propagation(full: bool) -> Pair:
    """All marginals of a tree."""
    graph = _tree(60 if full else 10, 4)
    model = _pgmpy(graph)

    def theirs() -> dict[str, np.ndarray]:
        from pgmpy.inference import BeliefPropagation

        propagation = BeliefPropagation(model)
        propagation.calibrate()
        found = {}
        for v in graph.variables:
            factor = propagation.query([v], show_progress=False)
            factor.normalize()
            found[v] = factor.values
        return found

    def entropy(marginals: dict[str, np.ndarray]) -> float:
        return float(-sum((p * np.log(p)).sum() for p in marginals.values()))

    return Pair(
        "Belief propagation: all marginals of a tree",
        f"{len(graph.variables)} variables of 4 values",
        "pgmpy",
        "sum of the entropies, nats",
        1e-9,
        Side(lambda: graph.sum_product().marginals, entropy),
        Side(theirs, entropy),
        "Building the schedule of messages costs more than sending few of them.",
    )


# --- topics --------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _modules(full: bool) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Word counts of modules, a document each: for training and held out."""
    texts: list[list[str]] = []
    for part in ("train", "test"):
        by_module: dict[str, list[str]] = {}
        for sentence in docs.load(part):
            by_module.setdefault(sentence.module, []).append(sentence.text)
        modules = [" ".join(sentences) for sentences in by_module.values() if len(sentences) > 4]
        texts.append(modules if full else modules[::20])
    vectorizer = CountVectorizer(min_df=5 if full else 3, max_df=0.2, stop_words="english")
    train, test = vectorizer.fit_transform(texts[0]), vectorizer.transform(texts[1])
    return tuple(sparse.csr_array(x)[np.diff(x.indptr) > 1] for x in (train, test))


def topics(full: bool) -> Pair:
    """Variational Bayes with the same number of passes."""
    from sklearn.decomposition import LatentDirichletAllocation

    from nlpmeta.topics import LDA

    train, test = _modules(full)
    k, passes = 20, 20 if full else 5

    def theirs() -> np.ndarray:
        model = LatentDirichletAllocation(
            k, max_iter=passes, learning_method="batch", random_state=SEED
        )
        return model.fit(train).components_

    def perplexity(components: np.ndarray) -> float:
        model = LDA(k, n_passes=1).fit(test[:1])
        model.components_, model.n_features_in_ = components, components.shape[1]
        return model.completion_perplexity(test, np.random.default_rng(SEED))

    return Pair(
        f"LDA, variational, {k} topics, {passes} passes",
        f"{train.shape[0]:,} modules, {train.shape[1]:,} words, {int(train.sum()):,} tokens",
        "scikit-learn",
        "held-out perplexity",
        0.02 if full else 0.1,
        Side(lambda: LDA(k, n_passes=passes, seed=SEED).fit(train).components_, perplexity),
        Side(theirs, perplexity),
        "scikit-learn updates a document at a time in compiled code; ours stacks documents of like "
        "length.",
    )


# --- transformers --------------------------------------------------------------------------------


def _gpts(full: bool) -> tuple[Any, Any, Any]:
    """A GPT, the GPT-2 with the same weights, and batches of tokens."""
    import torch

    from nlpmeta.transformer import GPT, GPTConfig

    shape = (100, 128, 128, 4, 4) if full else (20, 32, 16, 2, 2)
    generator = torch.Generator().manual_seed(SEED)
    ours = GPT(GPTConfig(*shape), generator)
    with torch.no_grad():  # so that greedy text does not repeat one token
        for p in ours.parameters():
            p.add_(torch.randn(p.shape, generator=generator), alpha=0.05)
    rows = torch.randint(shape[0], (6, 16 if full else 4, shape[1] + 1), generator=generator)
    return ours.eval(), ours.to_huggingface(), rows


def gpt_training(full: bool) -> Pair:
    """Five steps of Adam from the same weights."""
    import copy

    import torch
    from torch.nn import functional as F

    ours, theirs, rows = _gpts(full)
    logits: dict[str, Callable[[Any, Any], Any]] = {
        "ours": lambda model, x: model(x)[0],
        "theirs": lambda model, x: model(input_ids=x, use_cache=False).logits,
    }

    def loss(side: str, model: Any, batch: Any) -> Any:
        scores = logits[side](model, batch[:, :-1])
        return F.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())

    def held_out(side: str, model: Any) -> float:
        return loss(side, model, rows[-1]).item()

    def train(side: str, model: Any) -> Any:
        model = copy.deepcopy(model).train()
        stepper = torch.optim.Adam(model.parameters(), lr=1e-3)
        for batch in rows[:-1]:
            stepper.zero_grad()
            loss(side, model, batch).backward()
            stepper.step()
        return model

    return Pair(
        "GPT: five steps of training",
        f"{rows[:-1, :, 1:].numel():,} tokens, {sum(p.numel() for p in ours.parameters()):,} "
        "parameters",
        "transformers",
        "loss on another batch, nats",
        1e-3,
        Side(lambda: train("ours", ours), lambda m: held_out("ours", m)),
        Side(lambda: train("theirs", theirs), lambda m: held_out("theirs", m)),
        "Both spend their time in the same matrix products and the same attention kernel.",
    )


def gpt_generation(full: bool) -> Pair:
    """Greedy text, with the cache."""
    ours, theirs, rows = _gpts(full)
    prompt = rows[0, :1, :8]
    length = ours.context - prompt.shape[1]

    def ours_run() -> Any:
        return ours.generate(prompt, length, temperature=0)

    def theirs_run() -> Any:
        tokens = theirs.generate(
            prompt, attention_mask=prompt >= 0, max_new_tokens=length, do_sample=False,
            pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
        return tokens[:, prompt.shape[1] :]

    def number(tokens: Any) -> float:
        """One number that another text would hardly have."""
        return float(((tokens[0].numpy() + 1.0) * (np.arange(length) ** 2 + 1.0)).sum())

    return Pair(
        "GPT: greedy generation",
        f"{length} tokens, one at a time",
        "transformers",
        "a checksum of the tokens",
        1e-12,
        Side(ours_run, number),
        Side(theirs_run, number),
        "A step of a small model costs less than the bookkeeping around it.",
    )


# --- recurrent networks ---------------------------------------------------------------------------


def lstm_training(full: bool) -> Pair:
    """An LSTM language model: our wrapper and loop, and a plain loop around ``nn.LSTM``."""
    import copy

    import torch
    from torch import nn
    from torch.nn import functional as F

    from nlpmeta.neural_lm import NeuralLM
    from nlpmeta.recurrent import RecurrentLM
    from nlpmeta.training import cosine

    steps, b, t, width = (30, 16, 128, 256) if full else (3, 4, 8, 12)
    text = docs.text("train")[: 200_000 if full else 2_000]
    schedule = cosine(steps, steps // 20)

    def build(v: int, generator: torch.Generator) -> RecurrentLM:
        return RecurrentLM("lstm", v, width // 4, width, generator=generator)

    def model() -> NeuralLM:
        return NeuralLM(build, steps=steps, batch_size=b, window=t, schedule=schedule)

    known = model()
    known._prepare((*sorted(set(text)), "<unk>"))
    batch = known._windows(known._encode(text))
    batches = [batch(step) for step in range(steps)]  # theirs for nothing

    def theirs() -> float:
        network = copy.deepcopy(known.network).train()
        embedding, lstm, out = network.embedding, network.recurrent, network.out
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(out(lstm(embedding(x))[0]).flatten(0, 1), y.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            rates.step()
        return loss.item()

    return Pair(
        "LSTM language model, training",
        f"{steps} steps of {b} windows of {t} characters, {known.n_parameters:,} weights",
        "torch",
        "loss of the last step, nats",
        1e-4,
        Side(lambda: model().fit(text), lambda fitted: float(fitted.history.losses[-1])),
        Side(theirs, float),
        "Ours also makes the batches, checks every loss and gradient and keeps the history.",
    )


# --- meta-learning --------------------------------------------------------------------------------


def episode_sampling(full: bool) -> Pair:
    """The same batches drawn by the sampler, and by a loop that takes one example at a time."""
    import torch

    from nlpmeta.episodes import EpisodeSampler, Task, by_class
    from nlpmeta.text import Vocabulary, pad

    n_tasks, size, n_way, k_shot, n_query = (2000, 50, 5, 5, 5) if full else (20, 5, 2, 1, 2)
    sentences = docs.load("train")[:: 4 if full else 60]
    vocabulary = Vocabulary.from_tokens("".join(sentence.text for sentence in sentences))
    x = torch.as_tensor(pad([vocabulary.encode(sentence.text[:64]) for sentence in sentences]))
    labels = [sentence.library for sentence in sentences]
    sampler = EpisodeSampler(by_class(x, labels), n_way, k_shot, n_query, SEED)
    rows_of: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows_of.setdefault(label, []).append(row)
    per_class = k_shot + n_query
    usable = [rows for rows in rows_of.values() if len(rows) >= per_class]

    def plain(index: int) -> Task:
        rng = np.random.default_rng([SEED, index])
        rng.integers(1)  # the sampler draws a domain first, and there is one
        support_x, support_y, query_x, query_y = [], [], [], []
        for label, c in enumerate(rng.permutation(len(usable))[:n_way]):
            chosen = rng.choice(len(usable[c]), per_class, replace=False)
            for place, i in enumerate(chosen):
                xs, ys = (support_x, support_y) if place < k_shot else (query_x, query_y)
                xs.append(x[usable[c][i]])
                ys.append(label)
        return Task(
            torch.stack(support_x), torch.tensor(support_y),
            torch.stack(query_x), torch.tensor(query_y),
        )  # fmt: skip

    def loop(first: int) -> Task:
        return Task(*map(torch.stack, zip(*(plain(first + i) for i in range(size)))))

    def judge(batches: list[Task]) -> float:
        return float(
            sum(
                (i + 1) * (1 + task.support_y) @ task.support_x.sum(1)
                + (1 + task.query_y) @ task.query_x.sum(1)
                for i, task in enumerate(Task(*parts) for batch in batches for parts in zip(*batch))
            )
        )

    return Pair(
        f"Episodes, {n_way}-way {k_shot}-shot, drawn",
        f"{n_tasks:,} tasks in batches of {size}, from {len(x):,} texts",
        "torch",
        "sum over the tasks of all symbols, weighted by label and task",
        0.0,
        Side(lambda: [sampler.batch(i, size) for i in range(0, n_tasks, size)], judge),
        Side(lambda: [loop(i) for i in range(0, n_tasks, size)], judge),
        "Each task has a generator of its own, so that it depends on its number only. The "
        "loop makes them one by one; ours works out those of a block of tasks side by side.",
    )


def _maml(
    full: bool, peer: str, name: str, task_gradient: Callable[..., None], many: int = 64
) -> Pair:
    """MAML with all ``many`` tasks of a step at once, and with one after the other.

    ``task_gradient(model, task, lr, steps, weight)`` adds a task's weighted meta-gradient to those
    of the model's parameters.
    """
    import copy

    import torch
    from torch import nn

    from nlpmeta.episodes import EpisodeSampler, by_class
    from nlpmeta.learners import MAML
    from nlpmeta.meta import training_loss
    from nlpmeta.neural import NGramFeatures, initialize
    from nlpmeta.text import Vocabulary, pad
    from nlpmeta.training import fit

    n_tasks, n_steps, width, lr, inner_steps = (many, 10, 32, 0.5, 5) if full else (3, 2, 8, 0.5, 2)
    sentences = docs.load("train")[:: 20 if full else 60]
    vocabulary = Vocabulary.from_tokens("".join(sentence.text for sentence in sentences))
    x = pad([vocabulary.encode(sentence.text[:100]) for sentence in sentences])
    x = NGramFeatures((1, 2), width)(torch.as_tensor(x))
    data = by_class(x, [sentence.library for sentence in sentences])
    sampler = EpisodeSampler(data, 5, 5, 5, SEED)
    batches = [
        sampler.batch(step * n_tasks, n_tasks) for step in range(n_steps)
    ]  # before the clock
    start = nn.Sequential(
        nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5)
    )
    initialize(start, torch.Generator().manual_seed(SEED))

    def ours() -> nn.Module:
        learner = MAML(copy.deepcopy(start), lr, inner_steps)
        fit(
            learner,
            lambda model, tasks: training_loss(model, tasks, 5),
            batches.__getitem__,
            steps=n_steps,
            lr=0.1,
            optimizer=torch.optim.SGD,
        )
        return learner.model

    def theirs() -> nn.Module:
        model = copy.deepcopy(start)
        stepper = torch.optim.SGD(model.parameters(), lr=0.1)
        for tasks in batches:
            stepper.zero_grad()
            for task in zip(*tasks):
                task_gradient(model, task, lr, inner_steps, 1 / n_tasks)
            stepper.step()
        return model

    def judge(model: nn.Module) -> float:
        return float(sum(p.grad.double().square().sum() for p in model.parameters()) ** 0.5)

    return Pair(
        f"MAML, 5-way 5-shot, second order, against {name}",
        f"{n_steps} meta-steps of {n_tasks} tasks, {inner_steps} inner steps, "
        f"{sum(p.numel() for p in start.parameters()):,} weights",
        peer,
        "norm of the last meta-gradient",
        1e-4,
        Side(ours, judge),
        Side(theirs, judge),
        "All tasks at once save the start of operations, which counts for little where networks "
        "are wide and tasks few.",
    )


def maml_higher(full: bool) -> Pair:
    """A copy of the network for each task, by the package that others use."""
    import higher
    import torch
    from torch import nn

    def task_gradient(model: nn.Module, task: Any, lr: float, steps: int, weight: float) -> None:
        support_x, support_y, query_x, query_y = task
        stepper = torch.optim.SGD(model.parameters(), lr=lr)
        with higher.innerloop_ctx(model, stepper, copy_initial_weights=False) as (net, descent):
            for _ in range(steps):
                descent.step(nn.functional.cross_entropy(net(support_x), support_y))
            (weight * nn.functional.cross_entropy(net(query_x), query_y)).backward()

    return _maml(full, "higher", "copies of the network", task_gradient)


def maml_loop(full: bool, many: int = 64) -> Pair:
    """A plain loop over tasks, steps and parameters."""
    import torch
    from torch import nn
    from torch.func import functional_call

    def loss(model: nn.Module, params: dict, x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(functional_call(model, params, (x,)), y)

    def task_gradient(model: nn.Module, task: Any, lr: float, steps: int, weight: float) -> None:
        support_x, support_y, query_x, query_y = task
        params = dict(model.named_parameters())
        for _ in range(steps):
            value = loss(model, params, support_x, support_y)
            slopes = torch.autograd.grad(value, list(params.values()), create_graph=True)
            params = {name: p - lr * slope for (name, p), slope in zip(params.items(), slopes)}
        (weight * loss(model, params, query_x, query_y)).backward()

    return _maml(full, "torch", "a loop over tasks", task_gradient, many)


def maml_few(full: bool) -> Pair:
    """The same loop where a step has few tasks."""
    return maml_loop(full, 16)


def maml_many(full: bool) -> Pair:
    """The same loop where a step has many tasks."""
    return maml_loop(full, 256)


# --- transfer ------------------------------------------------------------------------------------


def lora_step(full: bool) -> Pair:
    """One update of LoRA on all queries and values of the encoder."""
    import copy

    import peft
    import torch

    from nlpmeta.pretrained import load_encoder, mean_pool
    from nlpmeta.transfer import add_lora

    n = 32 if full else 2
    encoder = load_encoder()
    base = encoder.network.eval()  # without dropout, so that both see the same network
    texts = sorted((s.text for s in docs.load("train")[: 10 * n : 10]), key=len)
    tokens, mask = encoder.tokenize(texts), encoder.tokenize(texts)["attention_mask"]
    mine = copy.deepcopy(base)
    generator = torch.Generator().manual_seed(SEED)
    add_lora(mine, ["*.query", "*.value"], r=8, alpha=16, generator=generator)
    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"])
    other = peft.get_peft_model(copy.deepcopy(base), config).eval()
    pairs = []
    for name, layer in mine.named_modules():
        if hasattr(layer, "merged"):
            theirs = other.base_model.model.get_submodule(name)
            pairs += [(layer.A, theirs.lora_A["default"].weight)]
            pairs += [(layer.B, theirs.lora_B["default"].weight)]
    with torch.no_grad():
        for a, b in pairs:
            a.normal_(std=0.05, generator=generator)
            b.copy_(a)

    def step(network: torch.nn.Module) -> Callable[[], list[torch.Tensor]]:
        trained = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.0)  # every round the same step

        def run() -> list[torch.Tensor]:
            z = mean_pool(network(**tokens).last_hidden_state, mask)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(z @ z.T / 0.05, torch.arange(n)).backward()
            optimizer.step()
            return [p.grad for p in trained]

        return run

    def norm(gradients: list[torch.Tensor]) -> float:
        return float(sum(g.double().square().sum() for g in gradients) ** 0.5)

    return Pair(
        "LoRA, one training step of the encoder",
        f"{n} sentences, {len(pairs) // 2} layers, rank 8",
        "peft",
        "norm of the gradient",
        1e-4,
        Side(step(mine), norm),
        Side(step(other), norm),
        "The products with the frozen weights, the same on both sides, take nearly all of the "
        "time; what is left is the noise of the machine.",
        rounds=8,
    )


def embedding(full: bool) -> Pair:
    """Vectors of sentences."""
    from sentence_transformers import SentenceTransformer

    from nlpmeta.pretrained import find_encoder, load_encoder

    n = 1_000 if full else 20
    texts = [s.text for s in docs.load("train")[: 40 * n : 40]]
    ours = load_encoder()
    theirs = SentenceTransformer(str(find_encoder()), device="cpu")
    probe = np.random.default_rng(SEED).normal(size=384)

    def judge(vectors: Any) -> float:
        return float((np.asarray(vectors, dtype=float) @ probe).__abs__().sum())

    return Pair(
        "Vectors of sentences from the encoder",
        f"{n:,} sentences of documentation, 64 in a batch",
        "sentence-transformers",
        "sum of the sizes of a random projection",
        1e-5,
        Side(lambda: ours.embed(texts, batch_size=64), judge),
        Side(lambda: theirs.encode(texts, batch_size=64, show_progress_bar=False), judge),
        "The network is the same on both sides; ours sorts by tokens and theirs by characters, "
        "so that the batches and their padding differ a little.",
    )


# --- compression ----------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _encoder(full: bool) -> tuple[Any, dict[str, Any], Any]:
    """An encoder's network, tokens of sentences, and the network's vectors of them."""
    import torch

    from nlpmeta.pretrained import load_encoder, mean_pool

    if full:
        encoder = load_encoder()
        sentences = [s.text for s in docs.load("test") if 60 < len(s.text) < 90][:32]
        network, tokens = encoder.network, encoder.tokenize(sentences)
        tokens = {key: tokens[key] for key in ("input_ids", "attention_mask")}
    else:
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = BertModel(config).eval()
        ids = torch.randint(50, (6, 7), generator=torch.Generator().manual_seed(SEED))
        tokens = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    network.pooler = None  # not used: the tokens are averaged
    with torch.no_grad():
        hidden = network(**tokens).last_hidden_state
    return network, tokens, mean_pool(hidden, tokens["attention_mask"])


def prune_by_magnitude(full: bool) -> Pair:
    """Eight of ten weights of every Linear layer go, the smallest of each layer."""
    import copy

    import torch
    from torch import nn
    from torch.nn.utils import prune

    from nlpmeta.pruning import prune_magnitude

    network, _, _ = _encoder(full)

    def theirs() -> dict[str, Any]:
        model, masks = copy.deepcopy(network), {}
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Linear):
                prune.l1_unstructured(layer, "weight", 0.8)
                masks[name] = layer.weight_mask.bool()
                prune.remove(layer, "weight")
        return masks

    def checksum(masks: dict[str, Any]) -> float:
        flat = torch.cat([mask.flatten() for mask in masks.values()]).double()
        return float((flat * torch.arange(1, len(flat) + 1).double().sqrt()).sum())

    return Pair(
        "Magnitude pruning",
        f"{sum(p.numel() for p in network.parameters()):,} weights",
        "torch",
        "a checksum of the masks",
        1e-12,
        Side(lambda: prune_magnitude(copy.deepcopy(network), 0.8), checksum),
        Side(theirs, checksum),
        "Both search the weights of each layer for the smallest: ours for the largest that goes, "
        "theirs for all that go. Ours checks first that all weights and scores are finite.",
    )


def _integers(full: bool, static: bool) -> Pair:
    """Our layers of integers and ONNX Runtime's, in the same network."""
    import copy

    import torch

    from nlpmeta.deployment import OnnxModel, export_onnx, quantize_onnx
    from nlpmeta.layers import named_layers
    from nlpmeta.quantized_layers import calibrate, quantize_model

    network, tokens, _ = _encoder(full)
    names = list(named_layers(network))
    ranges = calibrate(network, [tokens], names) if static else None
    names += [name for name in ["embeddings.word_embeddings"] if full]
    ours = quantize_model(copy.deepcopy(network), names, ranges=ranges)
    folder = tempfile.TemporaryDirectory()
    source = export_onnx(network, Path(folder.name) / "float.onnx", tokens)
    target = Path(folder.name) / "int8.onnx"
    theirs = OnnxModel(quantize_onnx(source, target, [tokens] if static else None))

    def run() -> Any:
        with torch.no_grad():
            return ours(**tokens).last_hidden_state

    return Pair(
        f"Encoder in 8 bits, {'static' if static else 'dynamic'}",
        f"{tokens['input_ids'].shape[0]} texts of up to {tokens['input_ids'].shape[1]} tokens",
        "onnxruntime",
        "mean cosine with the float vectors",
        0.1,  # ONNX Runtime has one scale for the whole table of tokens, ours one a row
        Side(run, lambda hidden: _cosine(full, hidden)),
        Side(lambda: (folder.name, theirs(**tokens))[1], lambda hidden: _cosine(full, hidden)),
        "Ours is written to be read: it multiplies integers of 32 bits, for which PyTorch has no "
        "fast product. ONNX Runtime uses the processor's instructions for 8 bits.",
    )


def _cosine(full: bool, hidden: Any) -> float:
    """How near the vectors from some hidden states are to those of the float network."""
    from nlpmeta.pretrained import mean_pool

    _, tokens, vectors = _encoder(full)
    return float((mean_pool(hidden, tokens["attention_mask"]) * vectors).sum(1).mean())


def int8_dynamic(full: bool) -> Pair:
    """Ranges of inputs from each batch."""
    return _integers(full, static=False)


def int8_static(full: bool) -> Pair:
    """Ranges of inputs measured beforehand."""
    return _integers(full, static=True)


def _deployed(full: bool, engine: str) -> Pair:
    """The file that our code writes in 8 bits, and the float network in an engine."""
    import torch

    from nlpmeta.deployment import OnnxModel, export_onnx, quantize_onnx

    network, tokens, _ = _encoder(full)
    folder = tempfile.TemporaryDirectory()
    source = export_onnx(network, Path(folder.name) / "float.onnx", tokens)
    ours = OnnxModel(quantize_onnx(source, Path(folder.name) / "int8.onnx"))
    floats = OnnxModel(source)

    def theirs() -> Any:
        if engine == "onnxruntime":
            return floats(**tokens)
        with torch.no_grad():
            return network(**tokens).last_hidden_state

    return Pair(
        f"Encoder as a file in 8 bits, against floats in {engine}",
        f"{tokens['input_ids'].shape[0]} texts of up to {tokens['input_ids'].shape[1]} tokens",
        engine,
        "mean cosine with the float vectors",
        0.05,
        Side(lambda: (folder.name, ours(**tokens))[1], lambda hidden: _cosine(full, hidden)),
        Side(theirs, lambda hidden: _cosine(full, hidden)),
        "Without instructions for sums of 8-bit products integers gain little.",
        rounds=5,
    )


def int8_file_torch(full: bool) -> Pair:
    """8 bits in ONNX Runtime against float32 in PyTorch."""
    return _deployed(full, "torch")


def int8_file_onnx(full: bool) -> Pair:
    """8 bits in ONNX Runtime against float32 in ONNX Runtime."""
    return _deployed(full, "onnxruntime")


PAIRS: dict[str, Callable[[bool], Pair]] = {
    make.__name__: make
    for make in (
        maxent_lbfgs,
        maxent_saga,
        ngram_training,
        ngram_scoring,
        hmm_viterbi,
        hmm_baum_welch,
        crf_segmentation,
        crf_sections,
        crf_sections_l1,
        belief_propagation,
        topics,
        gpt_training,
        gpt_generation,
        lstm_training,
        episode_sampling,
        maml_higher,
        maml_few,
        maml_loop,
        maml_many,
        lora_step,
        embedding,
        prune_by_magnitude,
        int8_dynamic,
        int8_static,
        int8_file_torch,
        int8_file_onnx,
    )
}
