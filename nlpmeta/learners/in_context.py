"""Learners that adapt by reading: a transformer with the support set before its eyes.

:class:`Reader` turns labeled examples into keys and values and lets queries look at them;
:class:`InContext` reads labels and gives logits, :class:`InContextRegressor` reads numbers and
gives numbers. Adapting is one pass forward and changes no weight: what is learned about a task is
in the activations. What is learned about tasks is in the weights, by the gradient of the query
loss, as for every learner that is a network (sequence models as meta-learners: Santoro et al.,
2016; Mishra et al., 2018; with attention alone: Garg et al., 2022; Müller et al., 2022).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from nlpmeta.episodes import Predictor, n_ways
from nlpmeta.neural import initialize
from nlpmeta.transformer import Block, Cache, GPTConfig, attention


class Reader(nn.Module):
    """A transformer that reads support vectors once and then answers queries, each by itself.

    The blocks are those of :class:`nlpmeta.transformer.GPT`. A query sees the support set and
    itself, no other query, and no support vector sees a query.

    Parameters
    ----------
    width, n_layers, n_heads : int
        As in :class:`nlpmeta.transformer.GPTConfig`.
    generator : torch.Generator
        Draws the initial weights.
    places : int
        0: the support set is a set, all of it sees all of it, and its order is nothing. Above 0:
        it is a sequence of at most so many, each has the vector of its place added and sees those
        before it.

    Raises
    ------
    ValueError
        If a number is too small, or the heads do not divide the width.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> reader = Reader(8, 2, 2, g)
    >>> state = reader.read(torch.randn(3, 8, generator=g))
    >>> reader.answer(torch.randn(5, 8, generator=g), state).shape
    torch.Size([5, 8])
    """

    def __init__(
        self, width: int, n_layers: int, n_heads: int, generator: torch.Generator, places: int = 0
    ) -> None:
        super().__init__()
        if places < 0:
            raise ValueError(f"places is {places}; give 0 for a set, or the longest sequence")
        config = GPTConfig(1, max(places, 1), width, n_layers, n_heads)
        self.blocks = nn.ModuleList(Block(config) for _ in range(n_layers))
        self.norm = nn.LayerNorm(width)
        self.places = nn.Embedding(places, width) if places else None
        initialize(self, generator)

    def read(self, support: Tensor) -> Cache:
        """Keys and values of every block for support vectors (..., s, width), in their order."""
        s = support.shape[-2]
        seen = torch.ones(s, s, dtype=torch.bool, device=support.device)
        self._check(support)
        if self.places is not None:
            if s > self.places.num_embeddings:
                raise ValueError(
                    f"the support set has {s} examples, but the reader {self.places.num_embeddings}"
                    " places; give it more, or 0 to read a set of any size"
                )
            support, seen = support + self.places.weight[:s], seen.tril()
        return self._through(support, None, seen)[1]

    def answer(self, queries: Tensor, state: Cache, visible: Tensor | None = None) -> Tensor:
        """What queries become after looking at the support set.

        Parameters
        ----------
        queries : Tensor (..., q, width)
        state : cache
            From :meth:`read`.
        visible : bool Tensor (q, s), optional
            Which support vectors each query sees; all, if left out.

        Returns
        -------
        Tensor (..., q, width)
        """
        self._check(queries)
        q, s = queries.shape[-2], state[0][0].shape[-2]
        if visible is None:
            visible = torch.ones(q, s, dtype=torch.bool, device=queries.device)
        itself = torch.eye(q, dtype=torch.bool, device=queries.device)
        h, _ = self._through(queries, state, torch.cat([visible, itself], -1))
        return self.norm(h)

    def _through(self, x: Tensor, state: Cache | None, seen: Tensor) -> tuple[Tensor, Cache]:
        """Vectors (..., t, width) after all blocks, and the keys and values on the way."""
        h = x.reshape(-1, *x.shape[-2:])  # (b, t, d)
        new = []
        for block, past in zip(self.blocks, state or [None] * len(self.blocks)):
            block.attention.attend = partial(_mix, seen=seen)
            h, kept = block(h, past)
            new.append(kept)
        return h.reshape(x.shape), tuple(new)

    def _check(self, x: Tensor) -> None:
        weight = self.norm.weight
        if x.shape[-1] != len(weight):
            raise ValueError(
                f"the vectors have {x.shape[-1]} numbers, but the reader has width {len(weight)}; "
                "give an encoder of that width"
            )
        if x.dtype != weight.dtype:
            raise TypeError(
                f"the vectors are {x.dtype}, but the reader's weights are {weight.dtype}; "
                "convert one of them with .to(dtype)"
            )


class InContext(nn.Module):
    """A transformer that reads labeled examples and says the label of a query.

    A support example is the vector ``f(x_i) + e[y_i]``, a query is ``f(x) + e[?]``. The
    :class:`Reader` turns a query into ``h``, and ``logit_k = h e[k] / sqrt(width)`` with the label
    vectors that were read. Labels are known by number: it must meet tasks that number their
    classes at random, as :class:`nlpmeta.episodes.EpisodeSampler` does, to learn that the numbers
    mean nothing.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, width).
    width, n_layers, n_heads, generator, places
        As for :class:`Reader`.
    n_labels : int
        Largest number of classes that a task may have.

    Raises
    ------
    ValueError
        As :class:`Reader`, or if ``n_labels`` is below 1.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> learner = InContext(nn.Linear(2, 8), 8, n_labels=5, n_layers=2, n_heads=2, generator=g)
    >>> predict = learner.adapt(torch.eye(2), torch.tensor([0, 1]))
    >>> predict(torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        encoder: nn.Module,
        width: int,
        n_labels: int,
        n_layers: int,
        n_heads: int,
        generator: torch.Generator,
        places: int = 0,
    ) -> None:
        super().__init__()
        if n_labels < 1:
            raise ValueError(f"n_labels is {n_labels}; give at least 1")
        self.encoder, self.n_labels = encoder, n_labels
        self.reader = Reader(width, n_layers, n_heads, generator, places)
        self.labels = nn.Embedding(n_labels + 1, width)  # the last one says "unknown"
        initialize(self.labels, generator)

    def adapt(self, support_x: Tensor, support_y: Tensor, n_way: int | None = None) -> Predictor:
        """The classifier of one task; ``n_way`` must be given where labels are traced (vmap).

        Raises
        ------
        ValueError
            If a label has no example, there are more classes than label vectors or more examples
            than places, or the encoder's vectors are of another width.
        TypeError
            If they are of another type.
        """
        n_way = n_ways(support_y) if n_way is None else n_way
        if n_way > self.n_labels:
            raise ValueError(
                f"the task has {n_way} classes, but the learner {self.n_labels} labels; "
                "make it with as many"
            )
        unknown, known = self.labels.weight[-1], self.labels.weight[:n_way]
        state = self.reader.read(self.encoder(support_x) + self.labels(support_y))

        def predict(query_x: Tensor) -> Tensor:
            h = self.reader.answer(self.encoder(query_x) + unknown, state)  # (q, d)
            return h @ known.T / h.shape[-1] ** 0.5  # (q, n)

        return predict

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Read the support set and return the query logits (q, n_way)."""
        return self.adapt(support_x, support_y, n_way)(query_x)


class InContextRegressor(nn.Module):
    """A transformer that reads numbers with their inputs and says the number of a query.

    As :class:`InContext`, with ``f(x_i) + e y_i`` for a support example, ``f(x) + u`` for a query,
    and a linear map of what the query becomes for the answer.

    Parameters
    ----------
    encoder : nn.Module
        Maps inputs (..., d) to vectors (..., width), for instance a linear layer.
    width, n_layers, n_heads, generator, places
        As for :class:`Reader`.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> learner = InContextRegressor(nn.Linear(3, 8), 8, 2, 2, g, places=4)
    >>> x, y = torch.randn(4, 3, generator=g), torch.randn(4, 1, generator=g)
    >>> learner.adapt(x, y)(x[:2]).shape, learner.along(x, y).shape
    (torch.Size([2, 1]), torch.Size([4, 1]))
    """

    def __init__(
        self,
        encoder: nn.Module,
        width: int,
        n_layers: int,
        n_heads: int,
        generator: torch.Generator,
        places: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.reader = Reader(width, n_layers, n_heads, generator, places)
        self.number = nn.Linear(1, width, bias=False)
        self.unknown = nn.Parameter(torch.zeros(width))
        self.out = nn.Linear(width, 1)
        for layer in (self.number, self.out):
            initialize(layer, generator)

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """The function of one task, or of a batch of them: ``x`` (..., s, d), ``y`` (..., s, 1).

        Raises
        ------
        ValueError, TypeError
            As :meth:`InContext.adapt`, or if ``support_y`` is not one number for each input.
        """
        state = self._read(support_x, support_y)
        return lambda query_x: self.out(
            self.reader.answer(self.encoder(query_x) + self.unknown, state)
        )

    def along(self, x: Tensor, y: Tensor) -> Tensor:
        """The answer for each input from the examples before it, all in one pass.

        Parameters
        ----------
        x : Tensor (..., s, d)
        y : Tensor (..., s, 1)

        Returns
        -------
        Tensor (..., s, 1)
            The first is an answer without any example.

        Raises
        ------
        ValueError
            If it reads a set: there every example sees the later ones.
        """
        if self.reader.places is None:
            raise ValueError("places is 0: every example sees the later ones; give it places")
        state = self._read(x, y)
        earlier = torch.ones(x.shape[-2], x.shape[-2], dtype=torch.bool, device=x.device).tril(-1)
        return self.out(self.reader.answer(self.encoder(x) + self.unknown, state, earlier))

    def _read(self, x: Tensor, y: Tensor) -> Cache:
        if y.shape != (*x.shape[:-1], 1):
            raise ValueError(
                f"support_y has shape {tuple(y.shape)} and support_x {tuple(x.shape)}; "
                f"give y the shape {(*x.shape[:-1], 1)}"
            )
        return self.reader.read(self.encoder(x) + self.number(y))


def _mix(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return attention(q, k, v, seen)[0]
