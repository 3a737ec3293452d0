"""Connectionist temporal classification: a loss for labels whose times nobody wrote down.

A network says at each frame which label it hears, or none, the *blank*. A labeling is as probable
as all the paths together that become it when repeats are merged and blanks removed (Graves,
Fernandez, Gomez and Schmidhuber, 2006). :func:`ctc_loss` sums them by a forward recursion,
:func:`collapse` and :func:`greedy` decode, and :class:`Recognizer` is a small network of
convolutions for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

NEVER = -1e30  # logarithm of a probability of zero that gives zero gradients instead of NaN


def frames_needed(target: Sequence[int]) -> int:
    """The least number of frames for a labeling: one a label, and a blank between equal ones.

    Parameters
    ----------
    target : sequence of int

    Returns
    -------
    int

    Examples
    --------
    >>> frames_needed([1, 2]), frames_needed([1, 1])
    (2, 3)
    """
    target = [int(label) for label in target]
    return len(target) + sum(a == b for a, b in pairwise(target))


def ctc_loss(log_probs: Tensor, target: Sequence[int] | Tensor, blank: int = 0) -> Tensor:
    """Minus the log-probability of a labeling, summed over its alignments, in nats.

    With the labeling's labels and blanks around them, ``l = (-, y_1, -, y_2, ..., y_u, -)``,
    ``alpha_t(s) = p_t(l_s) (alpha_{t-1}(s) + alpha_{t-1}(s-1) + [skip_s] alpha_{t-1}(s-2))``,
    where a blank may be skipped between two different labels, and the probability is
    ``alpha_T(S) + alpha_T(S-1)`` (Graves et al., 2006, eqs. 5 to 8), all in logarithms.

    Parameters
    ----------
    log_probs : Tensor of float, shape (t, v)
        Log-probabilities of the labels at each frame.
    target : sequence of int, length u
        Labels, none of which is the blank; may be empty.
    blank : int

    Returns
    -------
    Tensor
        A scalar, differentiable any number of times.

    Raises
    ------
    ValueError
        If a label is the blank or unknown, log_probs holds NaN, or there are fewer frames than the
        labeling needs: no path fits, and the loss would be infinite.

    Examples
    --------
    >>> even = torch.full((2, 2), 0.5).log()  # paths 1-, -1 and 11 of four
    >>> round(ctc_loss(even, [1]).exp().reciprocal().item(), 6)
    0.75
    """
    target = [int(label) for label in target]
    _check(log_probs, target, blank)
    labels = [blank]
    for label in target:
        labels += [label, blank]
    skip = [
        s >= 2 and labels[s] != blank and labels[s] != labels[s - 2] for s in range(len(labels))
    ]
    emitted = log_probs[:, labels]  # (t, s)
    never = emitted.new_full((2,), NEVER)
    may_skip = torch.tensor(skip, device=log_probs.device)
    alpha = torch.cat([emitted[0, :2], emitted.new_full((len(labels),), NEVER)])[: len(labels)]
    for now in emitted[1:]:
        one = torch.cat([never[:1], alpha])[: len(labels)]
        two = torch.cat([never, alpha])[: len(labels)].where(may_skip, never[0])
        alpha = now + torch.stack([alpha, one, two]).logsumexp(0)
    return -alpha[-2:].logsumexp(0)


def collapse(path: Sequence[int], blank: int = 0) -> list[int]:
    """The labeling of a path: merge repeats, then remove blanks.

    Parameters
    ----------
    path : sequence of int
    blank : int

    Returns
    -------
    list of int

    Examples
    --------
    >>> collapse([0, 3, 3, 0, 3, 5, 5])
    [3, 3, 5]
    """
    path = [int(label) for label in path]
    return [a for a, before in zip(path, [None, *path]) if a != before and a != blank]


def greedy(log_probs: Tensor, blank: int = 0) -> list[int]:
    """The labeling of the most probable path, which need not be the most probable labeling.

    Parameters
    ----------
    log_probs : Tensor of float, shape (t, v)
    blank : int

    Returns
    -------
    list of int

    Examples
    --------
    >>> greedy(torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]).log())
    [1, 1]
    """
    return collapse(log_probs.argmax(-1).tolist(), blank)


class Recognizer(nn.Module):
    """Convolutions over time, every other frame: ``(b, t, d)`` to log-probabilities.

    Parameters
    ----------
    d : int
        Features a frame.
    n_labels : int
        With the blank.
    width, depth : int
        Channels, and layers after the first, whose outputs are added to their inputs.
    generator : torch.Generator
        Draws the weights.

    Examples
    --------
    >>> model = Recognizer(26, 11, 8, 1, torch.Generator().manual_seed(0))
    >>> model(torch.zeros(2, 15, 26)).shape
    torch.Size([2, 8, 11])
    """

    def __init__(
        self, d: int, n_labels: int, width: int, depth: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.first = nn.Conv1d(d, width, 5, stride=2, padding=2)
        self.middle = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(depth))
        self.head = nn.Linear(width, n_labels)
        with torch.no_grad():
            for parameter in self.parameters():
                fan = parameter[0].numel() if parameter.dim() > 1 else 0
                bound = (3 / fan) ** 0.5 if fan else 0.0
                parameter.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (b, (t + 1) // 2, n_labels)."""
        z = self.first(x.transpose(1, 2)).relu()  # (b, w, t / 2)
        for layer in self.middle:
            z = z + layer(z).relu()
        return self.head(z.transpose(1, 2)).log_softmax(-1)


def _check(log_probs: Tensor, target: list[int], blank: int) -> None:
    if log_probs.dim() != 2 or not len(log_probs):
        raise ValueError(
            f"log_probs has shape {tuple(log_probs.shape)}; give (t, v), a row for each frame"
        )
    v = log_probs.shape[1]
    if not 0 <= blank < v:
        raise ValueError(f"blank is {blank}; give a label from 0 to {v - 1}")
    if wrong := [label for label in target if not 0 <= label < v or label == blank]:
        raise ValueError(
            f"target holds {wrong[0]}; give labels from 0 to {v - 1} other than the blank, {blank}"
        )
    if log_probs.detach().isnan().any():
        raise ValueError("log_probs holds NaN; look for a division by zero or a rate too high")
    if len(log_probs) < (needed := frames_needed(target)):
        raise ValueError(
            f"log_probs has {len(log_probs)} frames, but target needs {needed}: no path fits and "
            "the loss is infinite; give a longer input, or a smaller stride"
        )
