"""From logits to text: how to choose the next token, and how to search for a likely sequence.

Sampling from a model that is sharpened or flattened (temperature), or cut to its most probable
tokens: the k best (Fan, Lewis and Dauphin, 2018) or the smallest set that holds the share p of the
probability (Holtzman et al., 2020). Beam search keeps the few best beginnings instead (Lowerre,
1976). Exports ``temper``, ``keep_top_k``, ``keep_top_p``, ``draw``, ``beam_search`` and ``Beam``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Beam", "beam_search", "draw", "keep_top_k", "keep_top_p", "temper"]


class Beam(NamedTuple):
    """A sequence that beam search found, and its natural log-probability."""

    tokens: tuple[int, ...]
    logprob: float


def temper(logits: Tensor, temperature: float) -> Tensor:
    """Divide logits by a temperature: ``p(v)`` becomes proportional to ``p(v) ** (1 / T)``.

    At 1 nothing changes. At 0 only the largest logit is left (the first of equal ones), which is
    the limit from above and makes drawing greedy. At infinity all tokens that are possible at all
    become equally probable.

    Parameters
    ----------
    logits : Tensor of float, shape (..., v)
        Logarithms of probabilities, up to a constant; minus infinity for what is impossible.
    temperature : float
        From 0 to ``math.inf``.

    Returns
    -------
    Tensor, shape (..., v)
        Logits, the largest 0; minus infinity for what has become impossible.

    Raises
    ------
    ValueError
        If the temperature is negative or not a number, or logits have no finite largest value.

    Examples
    --------
    >>> logits = torch.tensor([0.0, 2.0, 1.0])
    >>> temper(logits, 2.0), temper(logits, 0)
    (tensor([-1.0000,  0.0000, -0.5000]), tensor([-inf, 0., -inf]))
    """
    if not temperature >= 0:
        raise ValueError(f"temperature is {temperature}; give 0 (greedy) or more, 1 to change none")
    if logits.shape[-1] == 0 or not torch.isfinite(logits.amax(-1)).all():
        raise ValueError("logits need a finite largest value in each row; check the model")
    if math.isinf(temperature):
        return torch.where(logits > -math.inf, 0.0, logits)
    if temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter(-1, best, 0.0)
    shifted = logits - logits.amax(-1, keepdim=True)  # the quotients cannot overflow upward
    return (shifted.double() / temperature).to(logits.dtype)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Make all but the k largest logits impossible (Fan, Lewis and Dauphin, 2018).

    Parameters
    ----------
    logits : Tensor of float, shape (..., v)
    k : int
        Of equal logits the first are kept; all are if there are no more than k.

    Returns
    -------
    Tensor, shape (..., v)

    Raises
    ------
    ValueError
        If k is no integer of at least 1.

    Examples
    --------
    >>> keep_top_k(torch.tensor([0.0, 2.0, 1.0]), 2)
    tensor([-inf, 2., 1.])
    """
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"top_k is {k!r}; give an integer of at least 1")
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[..., k:], -math.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the nucleus, the fewest tokens that have the share p (Holtzman et al., 2020).

    Tokens are taken from the most probable down until those taken have at least the share p
    together; the rest becomes impossible. The most probable token always stays.

    Parameters
    ----------
    logits : Tensor of float, shape (..., v)
    p : float
        Above 0, at most 1, which keeps all.

    Returns
    -------
    Tensor, shape (..., v)

    Raises
    ------
    ValueError
        If p is out of range.

    Examples
    --------
    >>> keep_top_p(torch.tensor([0.5, 0.2, 0.3]).log(), 0.6).exp()
    tensor([0.5000, 0.0000, 0.3000])
    """
    if not 0 < p <= 1:
        raise ValueError(f"top_p is {p}; give a share above 0 and at most 1")
    if p == 1:
        return logits
    order = logits.argsort(dim=-1, descending=True, stable=True)
    probabilities = logits.double().softmax(-1).gather(-1, order)
    before = probabilities.cumsum(-1) - probabilities  # what the more probable tokens have
    dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p)
    dropped.scatter_(-1, order[..., :1], False)
    return logits.masked_fill(dropped, -math.inf)


def draw(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw a token from each row of logits: temperature first, then top-k, then top-p.

    Parameters
    ----------
    logits : Tensor of float, shape (..., v)
    temperature : float
        See :func:`temper`; 0 takes the most probable token.
    top_k : int, optional
        See :func:`keep_top_k`.
    top_p : float, optional
        See :func:`keep_top_p`.
    generator : torch.Generator, optional
        The only source of randomness; not needed at temperature 0.

    Returns
    -------
    Tensor of int64, shape (...)

    Raises
    ------
    ValueError
        If an argument is out of range, or a generator is needed and missing.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    >>> draw(logits, temperature=0)
    tensor([1, 0])
    >>> draw(logits, top_k=1, generator=torch.Generator().manual_seed(0))
    tensor([1, 0])
    """
    logits = temper(logits, temperature)
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    if generator is None:
        raise ValueError(
            f"generator is missing; give a torch.Generator to draw at temperature {temperature}"
        )
    p = logits.double().softmax(-1)
    drawn = torch.multinomial(p.reshape(-1, p.shape[-1]), 1, generator=generator)
    return drawn.reshape(p.shape[:-1])


def beam_search(
    step: Callable[[Tensor], Tensor], width: int, length: int, end: int | None = None
) -> list[Beam]:
    """Search for a probable sequence by keeping the ``width`` best beginnings (Lowerre, 1976).

    Each kept beginning y is extended by every token v to one with the score
    ``log p(y) + log p(v | y)``; the best of all extensions are kept. Nothing says that the most
    probable sequence has a beginning among the best, so the result is a lower bound. Width 1 is
    greedy; a width of v ** (length - 1) is exact.

    Parameters
    ----------
    step : callable
        ``step(beginnings)`` with int64 (n, t) gives log-probabilities of the next token, (n, v). At
        the first call t is 0 and n is 1.
    width : int
        How many beginnings are kept.
    length : int
        Most tokens of a sequence.
    end : int, optional
        The token that ends a sequence; a sequence with it is complete and keeps its score.

    Returns
    -------
    list of Beam
        At most ``width`` different sequences, the most probable first.

    Raises
    ------
    ValueError
        If ``width`` is below 1 or ``length`` below 0.

    Examples
    --------
    A first token that looks best and leads nowhere: greedy search falls for it.

    >>> first, then = torch.tensor([[0.6, 0.4]]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])
    >>> def step(beginnings):
    ...     return (then[beginnings[:, -1]] if beginnings.shape[1] else first).log()
    >>> [beam_search(step, width, 2)[0].tokens for width in (1, 2)]
    [(0, 0), (1, 1)]
    """
    for name, value, least in (("width", width, 1), ("length", length, 0)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is {value!r}; give an integer of at least {least}")
    open_, complete = torch.empty(1, 0, dtype=torch.int64), []
    scores = torch.zeros(1, dtype=torch.float64)
    for _ in range(length):
        extended = scores[:, None] + step(open_).double()  # (n, v)
        v = extended.shape[1]
        room = width * (1 if end is None else 2)  # at most width of them end here
        best, place = extended.flatten().sort(descending=True, stable=True)
        best, place = best[:room], place[:room]
        best, place = best[best > -math.inf], place[best > -math.inf]
        sequences = torch.cat([open_[place // v], (place % v)[:, None]], dim=1)  # (n, t)
        ended = place % v == (-1 if end is None else end)
        complete += [
            Beam(tuple(y.tolist()), s.item()) for y, s in zip(sequences[ended], best[ended])
        ]
        complete = sorted(complete, key=lambda beam: -beam.logprob)[:width]
        open_, scores = sequences[~ended][:width], best[~ended][:width]
        # a beginning can only lose: stop when none can still beat what is complete
        if len(scores) == 0 or (len(complete) == width and scores[0] <= complete[-1].logprob):
            break
    return sorted(complete + _beams(open_, scores), key=lambda beam: -beam.logprob)[:width]


def _beams(sequences: Tensor, scores: Tensor) -> list[Beam]:
    return [Beam(tuple(y), score) for y, score in zip(sequences.tolist(), scores.tolist())]
