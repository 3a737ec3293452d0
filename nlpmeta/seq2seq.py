"""From one sequence to another: an encoder, a decoder, and attention between them.

A recurrent network reads the source, another writes the target, one token at a time, from the
reader's last state (Sutskever, Vinyals and Le, 2014). With attention the writer also looks at all
states of the reader, weighted by a score of its own state and theirs: additive (Bahdanau, Cho and
Bengio, 2015) or a product (Luong, Pham and Manning, 2015). Exports ``Seq2Seq``,
``additive_scores``, ``product_scores`` and the numbers ``PAD``, ``START`` and ``END``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.decoding import Beam, beam_search
from nlpmeta.neural import PAD, initialize

__all__ = ["END", "PAD", "START", "Seq2Seq", "additive_scores", "product_scores"]

START, END = 1, 2  # symbols of every target; PAD is 0


def additive_scores(h: Tensor, keys: Tensor, w_h: Tensor, w_k: Tensor, v: Tensor) -> Tensor:
    """Scores of a small network: ``v . tanh(W_h h + W_k k)`` (Bahdanau et al., 2015).

    Parameters
    ----------
    h : Tensor, shape (b, t, m)
        States that look.
    keys : Tensor, shape (b, s, m)
        States that are looked at.
    w_h, w_k : Tensor, shape (a, m)
    v : Tensor, shape (a,)

    Returns
    -------
    Tensor, shape (b, t, s)

    Examples
    --------
    >>> one = torch.ones(1, 1)
    >>> additive_scores(torch.zeros(1, 2, 1), torch.zeros(1, 3, 1), one, one, one[0]).shape
    torch.Size([1, 2, 3])
    """
    return torch.tanh((h @ w_h.T)[:, :, None] + (keys @ w_k.T)[:, None]) @ v


def product_scores(h: Tensor, keys: Tensor, w: Tensor) -> Tensor:
    """Scores of a bilinear form: ``h . W k`` (Luong et al., 2015, "general").

    Parameters
    ----------
    h : Tensor, shape (b, t, m)
    keys : Tensor, shape (b, s, m)
    w : Tensor, shape (m, m)

    Returns
    -------
    Tensor, shape (b, t, s)

    Examples
    --------
    >>> product_scores(torch.tensor([[[2.0]]]), torch.tensor([[[3.0], [5.0]]]), torch.ones(1, 1))
    tensor([[[ 6., 10.]]])
    """
    return h @ w @ keys.transpose(1, 2)


class Seq2Seq(nn.Module):
    """Translate sequences of numbers: GRU encoder, GRU decoder, attention or none.

    The encoder reads in both directions; the sum of its two states at a place is what the decoder
    can look at, and the sum of its last ones is where the decoder begins. The decoder runs first
    and then looks (Luong et al., 2015): with weights ``a = softmax(scores)`` over the source's own
    tokens and ``c = sum_s a_s k_s``, the logits are ``U tanh(W [c; h])``.

    Parameters
    ----------
    n_source, n_target : int
        Sizes of the vocabularies; both begin with ``PAD``, the target's with ``START`` and ``END``
        after it.
    d_embedding, d_hidden : int
    attention : {"additive", "product", "none"}
        Without attention c is zero.
    generator : torch.Generator
        Draws the initial weights.

    Examples
    --------
    >>> model = Seq2Seq(9, 9, 4, 8, "product", generator=torch.Generator().manual_seed(0))
    >>> logits, weights = model(torch.tensor([[3, 4, 5]]), torch.tensor([[START, 5]]))
    >>> logits.shape, weights.shape
    (torch.Size([1, 2, 9]), torch.Size([1, 2, 3]))
    """

    def __init__(
        self,
        n_source: int,
        n_target: int,
        d_embedding: int,
        d_hidden: int,
        attention: Literal["additive", "product", "none"] = "additive",
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if attention not in ("additive", "product", "none"):
            raise ValueError(
                f"attention is {attention!r}; choose from 'additive', 'product', 'none'"
            )
        self.attention = attention
        self.source = nn.Embedding(n_source, d_embedding)
        self.target = nn.Embedding(n_target, d_embedding)
        self.encoder = nn.GRU(d_embedding, d_hidden, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(d_embedding, d_hidden, batch_first=True)
        self.w_h = nn.Linear(d_hidden, d_hidden, bias=False)
        self.w_k = nn.Linear(d_hidden, d_hidden, bias=False)
        self.v = nn.Linear(d_hidden, 1, bias=False)
        self.mix = nn.Linear(2 * d_hidden, d_hidden)
        self.out = nn.Linear(d_hidden, n_target)
        initialize(self, generator)

    def forward(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (b, t, v) after each token of ``target`` (b, t), and weights (b, t, s).

        ``source`` (b, s) is padded with ``PAD`` and has at least one token in each row; ``target``
        begins with ``START``.
        """
        keys, state = self.encode(source)
        return self.decode(keys, state, source != PAD, target)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """States (b, s, m) at the source's places, and where the decoder begins (1, b, m)."""
        lengths = (source != PAD).sum(1)
        if (lengths == 0).any():
            raise ValueError("source has a row without a token; give at least one")
        packed = nn.utils.rnn.pack_padded_sequence(
            self.source(source), lengths, batch_first=True, enforce_sorted=False
        )
        states, last = self.encoder(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(
            states, batch_first=True, total_length=source.shape[1]
        )
        left, right = states.chunk(2, dim=-1)
        return left + right, last.sum(0, keepdim=True)

    def decode(
        self, keys: Tensor, state: Tensor, real: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits and weights as in :meth:`forward`; ``real`` (b, s) marks the source's tokens."""
        h, _ = self.decoder(self.target(target), state)  # (b, t, m)
        if self.attention == "none":
            weights = h.new_zeros(*h.shape[:2], keys.shape[1])
        else:
            if self.attention == "additive":
                v = self.v.weight[0]
                scores = additive_scores(h, keys, self.w_h.weight, self.w_k.weight, v)
            else:
                scores = product_scores(h, keys, self.w_h.weight)
            weights = scores.masked_fill(~real[:, None], -math.inf).softmax(-1)  # (b, t, s)
        mixed = torch.cat([weights @ keys, h], dim=-1)  # (b, t, 2 m)
        return self.out(torch.tanh(self.mix(mixed))), weights

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Mean negative log-probability of the target tokens after ``START``; ``PAD`` is left out.

        Parameters
        ----------
        source : Tensor of int64, shape (b, s)
        target : Tensor of int64, shape (b, t)
            ``START``, the tokens, ``END``, then ``PAD``.
        """
        logits, _ = self(source, target[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=PAD)

    @torch.no_grad()
    def translate(self, source: Sequence[int], width: int = 1, length: int = 50) -> list[Beam]:
        """The most probable targets that beam search finds, without ``START`` and ``END``.

        Parameters
        ----------
        source : sequence of int
            Tokens, at least one.
        width : int
            Of the beam; 1 is greedy.
        length : int
            Most tokens, ``END`` included.

        Returns
        -------
        list of Beam
            The best first.
        """
        x = torch.as_tensor(source, dtype=torch.int64)[None]
        keys, state = self.encode(x)

        def step(beginnings: Tensor) -> Tensor:
            n = len(beginnings)
            start = torch.full((n, 1), START)
            logits, _ = self.decode(
                keys.expand(n, -1, -1),
                state.expand(-1, n, -1).contiguous(),
                (x != PAD).expand(n, -1),
                torch.cat([start, beginnings], dim=1),
            )
            logits = logits[:, -1].clone()
            logits[:, [PAD, START]] = -math.inf
            return logits.double().log_softmax(-1)

        found = beam_search(step, width, length, end=END)
        return [b._replace(tokens=tuple(t for t in b.tokens if t != END)) for b in found]
