"""Any network that reads tokens and gives logits, as a language model of the book.

The network is a function from a sequence to scores of the next token at every place; trained on
windows of a text by maximum likelihood, it is a language model (Bengio et al., 2003). This module
adds what the interface needs besides: a vocabulary, a start symbol, windows to train on, long texts
to score, and a file to keep. Exports ``NeuralLM``.

A network is an ``nn.Module`` with ``forward(x, state=None) -> (logits, state)``: ``x`` is int64
(b, t), ``logits`` (b, t, v), those at t predict token t + 1; the state is all that it remembers of
the tokens before ``x`` (``None`` is nothing), a tensor or tuples of tensors. Its attribute
``context`` is the most tokens that it takes in one piece, those in the state included, or ``None``
if the state may be carried on for ever.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta import decoding
from nlpmeta.text import UNK, Vocabulary
from nlpmeta.training import History, Schedule, cosine, fit, minibatches

__all__ = ["NeuralLM"]

Build = Callable[[int, torch.Generator], nn.Module]

HIDDEN = 1e-4  # share of the training tokens that the network sees as unknown
CHUNK = 1024  # tokens read at once where the state is carried on
ROWS = 64  # windows scored at once where it is not


class NeuralLM:
    r"""A language model made of a network, trained by maximum likelihood on windows of a text.

    Each step takes windows x of the text and follows the gradient of the mean of
    ``-log p(x_t | x_1 ... x_{t-1})`` with Adam, the norm of the gradient clipped. Windows lie on a
    grid, taken in an order drawn anew for each epoch; each step shifts the grid at random.

    **Start.** Before a text stands ``"<unk>"``: what came before it is unknown. So a prompt may be
    empty, and the first token costs what it costs after an unknown one.

    **Unknown tokens** are ``"<unk>"`` too. No training text contains it, and a network that never
    meets it would give it next to no probability. In training one token of 10,000, drawn anew at
    each step, is therefore replaced by it: the model learns what an unknown token costs (about
    13 bits) and how to go on after one.

    **Long texts.** If the network's ``context`` is ``None``, its state is carried through the whole
    text. If it is C, the first C tokens are read from the start, and all others in windows that
    overlap by half, so that each sees between C // 2 and C - 1 tokens before it; which, depends on
    its place alone.

    Parameters
    ----------
    build : callable
        ``build(n_symbols, generator)`` makes the network with random weights.
    steps : int
        Updates.
    batch_size, window : int
        Windows of a batch; tokens of a window.
    lr : float
        Learning rate before the schedule.
    schedule : callable, optional
        See :func:`nlpmeta.training.fit`; by default warm-up for a twentieth of the steps, then half
        a cosine wave down to zero.
    clip : float
        Largest norm of the gradient.
    seed : int
        Of the weights, the order of the windows and dropout.

    Attributes
    ----------
    network : nn.Module
    vocabulary : tuple of str
        The distinct training tokens in sorted order, then ``"<unk>"``, as in an n-gram model.
    history : nlpmeta.training.History
        Of the last :meth:`fit`.

    Raises
    ------
    ValueError
        If ``window`` is below one or longer than the network's context.

    Examples
    --------
    >>> from nlpmeta.recurrent import RecurrentLM
    >>> def build(n_symbols, generator):
    ...     return RecurrentLM("gru", n_symbols, 8, 16, generator=generator)
    >>> model = NeuralLM(build, steps=100, batch_size=4, window=8, lr=0.03).fit("ab" * 100)
    >>> model.vocabulary
    ('a', 'b', '<unk>')
    >>> bool(model.next_logprobs("aba").argmax() == 1)
    True
    """

    def __init__(
        self,
        build: Build,
        *,
        steps: int,
        batch_size: int = 32,
        window: int = 64,
        lr: float = 3e-3,
        schedule: Schedule | None = None,
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        if not isinstance(window, int) or window < 1:
            raise ValueError(f"window is {window!r}; give an integer of at least 1")
        self.build, self.steps, self.batch_size, self.window = build, steps, batch_size, window
        self.lr, self.schedule, self.clip, self.seed = lr, schedule, clip, seed
        self.vocabulary: tuple[str, ...] = ()

    # --- training --------------------------------------------------------------------------------

    def fit(
        self,
        tokens: Sequence[str],
        *,
        validation: Sequence[str] | None = None,
        every: int = 500,
        checkpoint: str | os.PathLike | None = None,
    ) -> Self:
        """Learn from a text that has been cut into tokens.

        Parameters
        ----------
        tokens : sequence of str
        validation : sequence of str, optional
            Held-out tokens; the weights that score best on them are kept.
        every : int
            Updates between scores on ``validation`` and between checkpoints.
        checkpoint : path, optional
            A file from which a run that was killed goes on; see :func:`nlpmeta.training.fit`.

        Returns
        -------
        NeuralLM
            The model itself.

        Raises
        ------
        ValueError
            If there is no token, or an argument is out of range.
        TypeError
            If a token is not a string.

        Examples
        --------
        >>> from nlpmeta.recurrent import RecurrentLM
        >>> model = NeuralLM(lambda v, g: RecurrentLM("rnn", v, 4, 4, generator=g), steps=3)
        >>> len(model.fit("hello").history.losses)
        3
        """
        distinct = set(tokens)
        if not distinct:
            raise ValueError("tokens is empty; give at least one token to learn from")
        for token in distinct:
            if not isinstance(token, str):
                raise TypeError(f"tokens holds {token!r} of type {type(token).__name__}; give str")
        self._prepare((*sorted(distinct - {UNK}), UNK))
        ids = self._encode(tokens)
        held_out = None if validation is None else self._encode(validation)

        def loss(network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
            logits, _ = network(batch[0])
            return F.cross_entropy(logits.flatten(0, 1), batch[1].flatten())

        def evaluate(network: nn.Module) -> float:
            return float(-self._parallel(held_out).mean())

        self.history: History = fit(
            self.network,
            loss,
            self._windows(ids),
            steps=self.steps,
            lr=self.lr,
            schedule=self.schedule or cosine(self.steps, self.steps // 20),
            clip=self.clip,
            evaluate=None if held_out is None else evaluate,
            every=every,
            checkpoint=checkpoint,
            seed=self.seed,
        )
        return self

    def _prepare(self, vocabulary: tuple[str, ...]) -> None:
        """Vocabulary and network before training."""
        self.vocabulary, self._index = vocabulary, Vocabulary(vocabulary)
        self.network = self.build(len(vocabulary), torch.Generator().manual_seed(self.seed))
        context = self.network.context
        if context is not None and self.window > context:
            raise ValueError(
                f"window is {self.window}, and the network has context {context}; "
                f"give at most {context}"
            )

    def _windows(self, ids: Tensor) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Inputs and targets (b, t) of a step; the targets are a token later."""
        t = min(self.window, len(ids) - 1)
        last = len(ids) - 1 - t  # where the last window begins
        starts = minibatches(torch.arange(0, last + 1, t), size=self.batch_size, seed=self.seed)

        def batch(step: int) -> tuple[Tensor, Tensor]:
            rng = np.random.default_rng([self.seed, step])
            first = (starts(step)[0] + int(rng.integers(t))).clamp(max=last)  # (b,)
            window = ids[first[:, None] + torch.arange(t + 1)]  # (b, t + 1)
            hidden = torch.from_numpy(rng.random(window.shape) < HIDDEN)
            window = window.masked_fill(hidden, len(self.vocabulary) - 1)
            return window[:, :-1], window[:, 1:]

        return batch

    # --- scoring ---------------------------------------------------------------------------------

    def logprobs(self, tokens: Sequence[str]) -> np.ndarray:
        """Natural log-probability of each token given those before it.

        Parameters
        ----------
        tokens : sequence of str

        Returns
        -------
        numpy.ndarray of float64, shape (t,)

        Raises
        ------
        ValueError
            If the model is not fitted.
        """
        ids = self._encode(tokens)
        if self.network.context is not None:
            return self._overlapping(ids)
        parts = [np.empty(0)]
        for chunk, logits in self._carried(ids[:-1]):
            parts.append(_picked(logits, ids[chunk.start + 1 : chunk.stop + 1][None])[0])
        return np.concatenate(parts)

    def next_logprobs(self, context: Sequence[str]) -> np.ndarray:
        """Natural log-probability of every token of the vocabulary as the next.

        Parameters
        ----------
        context : sequence of str
            The tokens before, oldest first; may be empty or longer than the network's context.

        Returns
        -------
        numpy.ndarray of float64, shape (v,)

        Raises
        ------
        ValueError
            If the model is not fitted.
        """
        logits, _ = self._read(self._encode(context))
        return logits.double().log_softmax(-1).numpy()

    @torch.no_grad()
    def generate(
        self,
        length: int,
        generator: torch.Generator | None = None,
        context: Sequence[str] = (),
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> list[str]:
        """Continue a text token by token, carrying the state.

        Parameters
        ----------
        length : int
            How many tokens to add.
        generator : torch.Generator, optional
            Not needed at temperature 0.
        context : sequence of str
            The text to continue; may be empty.
        temperature, top_k, top_p
            See :func:`nlpmeta.decoding.draw`.

        Returns
        -------
        list of str, of that length

        Raises
        ------
        ValueError
            If the model is not fitted or an argument is out of range.
        """
        if not isinstance(length, int) or length < 0:
            raise ValueError(f"length is {length!r}; give an integer of at least 0")
        ids = self._encode(context)
        logits, state = self._read(ids)
        for _ in range(length):
            new = decoding.draw(logits, temperature, top_k, top_p, generator)
            ids = torch.cat([ids, new[None]])
            place, limit = len(ids) - 1, self.network.context
            if _first(place, limit) == _first(place - 1, limit):
                scores, state = self.network(new[None, None], state)
                logits = scores[0, -1]
            else:  # the network's context is full: read the second half of it again
                logits, state = self._read(ids)
        return self._index.decode(ids[len(context) + 1 :].tolist())

    @property
    def n_parameters(self) -> int:
        """How many numbers training determines."""
        self._check_fitted()
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)

    def _check_fitted(self) -> None:
        if not self.vocabulary:
            raise ValueError("the model is not fitted; call fit(tokens) or load a file first")

    def _encode(self, tokens: Sequence[str]) -> Tensor:
        """Ids of the start symbol and the tokens, int64 (t + 1,)."""
        self._check_fitted()
        return torch.from_numpy(self._index.encode([UNK, *tokens]))

    @torch.no_grad()
    def _carried(self, ids: Tensor) -> Iterator[tuple[range, Tensor]]:
        """Logits (1, c, v) of the text, chunk by chunk, the state carried on."""
        state = None
        for first in range(0, len(ids), CHUNK):
            chunk = range(first, min(first + CHUNK, len(ids)))
            logits, state = self.network(ids[None, chunk.start : chunk.stop], state)
            yield chunk, logits

    @torch.no_grad()
    def _overlapping(self, ids: Tensor) -> np.ndarray:
        """Log-probabilities of ids 1, 2, ... by windows that overlap, many at once."""
        t, context = len(ids) - 1, self.network.context
        if t <= context:
            return _picked(self.network(ids[None, :-1])[0], ids[None, 1:])[0] if t else np.empty(0)
        found = np.empty(t)
        firsts = sorted({_first(place, context) for place in range(t)})
        whole = [first for first in firsts if first + context <= t]
        for some in (whole[i : i + ROWS] for i in range(0, len(whole), ROWS)):
            rows = torch.tensor(some)[:, None] + torch.arange(context)  # (b, c)
            scores = _picked(self.network(ids[rows])[0], ids[rows + 1])
            for first, row in zip(some, scores):
                new = 0 if first == 0 else context - _stride(context)
                found[first + new : first + context] = row[new:]
        for first in firsts[len(whole) :]:  # the last window may be short
            new = context - _stride(context)
            row = _picked(self.network(ids[None, first:-1])[0], ids[None, first + 1 :])[0]
            found[first + new :] = row[new:]
        return found

    @torch.no_grad()
    def _parallel(self, ids: Tensor) -> np.ndarray:
        """Nearly the same log-probabilities, fast: rows of the text that start without a past."""
        if self.network.context is not None:
            return self._overlapping(ids)
        t = len(ids) - 1
        long = max(1, min(t, max(4 * self.window, t // ROWS)))
        rows = torch.arange(0, t - long + 1, long)[:, None] + torch.arange(long)  # (b, l)
        return _picked(self.network(ids[rows])[0], ids[rows + 1])

    @torch.no_grad()
    def _read(self, ids: Tensor) -> tuple[Tensor, Any]:
        """Logits (v,) of the token after ``ids``, and the state there."""
        first, state = _first(len(ids) - 1, self.network.context), None
        for start in range(first, len(ids), CHUNK):
            logits, state = self.network(ids[None, start : start + CHUNK], state)
        return logits[0, -1], state

    # --- files -----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike, *, half: bool = False) -> None:
        """Write weights, vocabulary and settings into one safetensors file.

        Parameters
        ----------
        path : path
        half : bool
            Store the weights in 16 bits, which changes them: score the model that was loaded again.
        """
        self._check_fitted()
        weights = {
            name: (w.half() if half and w.is_floating_point() else w).detach().cpu().contiguous()
            for name, w in self.network.state_dict().items()
        }
        header = {
            "vocabulary": self.vocabulary,
            "network": _description(self.network),
            "settings": {name: getattr(self, name) for name in _SETTINGS},
        }
        target = Path(path)
        draft = target.with_name(target.name + ".tmp")
        save_file(weights, draft, metadata={"NeuralLM": json.dumps(header)})
        os.replace(draft, target)

    @classmethod
    def load(cls, path: str | os.PathLike, build: Build) -> Self:
        """Open a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path
        build : callable
            Makes the network, as in training.

        Returns
        -------
        NeuralLM
            Ready to score; its weights are 32-bit numbers again.

        Raises
        ------
        ValueError
            If the file is cut short, not from :meth:`save`, or of another network.
        FileNotFoundError
            If there is no such file.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"path: there is no file {path}")
        try:
            with safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {})["NeuralLM"])
                weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(
                f"path: {path} is damaged or not from NeuralLM.save; copy or train it again"
            ) from error
        model = cls(build, **header["settings"])
        model._prepare(tuple(header["vocabulary"]))
        if (own := _description(model.network)) != header["network"]:
            raise ValueError(
                f"path: {path} is of another network, {header['network']}, not {own}; "
                "give the build that it was trained with"
            )
        model.network.load_state_dict(weights)
        model.network.eval()
        return model


_SETTINGS = ("steps", "batch_size", "window", "lr", "clip", "seed")


def _description(network: nn.Module) -> str:
    """Layers and sizes, and the configuration if the network has one."""
    shapes = {name: tuple(w.shape) for name, w in network.state_dict().items()}
    return f"{type(network).__name__} {getattr(network, 'config', '')} {network.context} {shapes}"


def _stride(context: int) -> int:
    """How far a window is from the next: as many tokens as each but the first adds."""
    return max(1, context // 2)


def _first(place: int, context: int | None) -> int:
    """Where the window begins whose network output at ``place`` counts."""
    if context is None or place < context:
        return 0
    return ((place - context) // _stride(context) + 1) * _stride(context)


def _picked(logits: Tensor, targets: Tensor) -> np.ndarray:
    """Log-probabilities (b, t) of the targets (b, t) under logits (b, t, v)."""
    logprobs = logits.double().log_softmax(-1)
    return logprobs.gather(-1, targets[..., None])[..., 0].numpy()
