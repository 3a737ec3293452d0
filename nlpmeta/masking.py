"""Tasks that a text sets by itself: hide or spoil some of its tokens and ask for them.

Each function makes inputs and targets out of tokens that nobody has labeled: the next token
(:func:`causal_targets`), tokens that were hidden (:func:`mask_tokens`; Devlin et al., 2019), or the
whole of a text that was damaged (:func:`corrupt`, for a denoising autoencoder; Vincent et al.,
2008). :func:`token_loss` compares, and :class:`MaskedLM` is a small network that looks both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.neural import PAD
from nlpmeta.transformer import GPT, GPTConfig

__all__ = ["IGNORED", "MaskedLM", "causal_targets", "corrupt", "mask_tokens", "token_loss"]

IGNORED = -100  # the target of a place that is not asked for; PyTorch's own number for it


def causal_targets(x: Tensor) -> tuple[Tensor, Tensor]:
    """Ask for every next token: inputs ``x[:, :-1]``, targets ``x[:, 1:]``.

    Parameters
    ----------
    x : int64 Tensor (b, t)
        Tokens, padded with 0 at the end; t is at least 2.

    Returns
    -------
    inputs, targets : int64 Tensor (b, t - 1)
        Padding has the target ``IGNORED``.

    Raises
    ------
    ValueError
        If ``x`` is not a matrix with two columns or more.
    TypeError
        If ``x`` is not int64.

    Examples
    --------
    >>> causal_targets(torch.tensor([[5, 6, 7], [8, 9, 0]]))[1]
    tensor([[   6,    7],
            [   9, -100]])
    """
    _check_tokens(x)
    if x.shape[1] < 2:
        raise ValueError(f"x: shape {tuple(x.shape)}; a next token needs two columns or more")
    targets = x[:, 1:]
    return x[:, :-1], targets.masked_fill(targets == PAD, IGNORED)


def mask_tokens(
    x: Tensor,
    generator: torch.Generator,
    *,
    mask: int,
    n_symbols: int,
    rate: float = 0.15,
    special: Sequence[int] = (PAD,),
) -> tuple[Tensor, Tensor]:
    """Choose tokens at random, hide most of them, and ask for all that were chosen.

    Each token is chosen with probability ``rate``. Of the chosen, 80 % become ``mask``, 10 % a
    random token and 10 % stay (Devlin et al., 2019), so that a network can trust no input.

    Parameters
    ----------
    x : int64 Tensor (b, t)
        Tokens.
    generator : torch.Generator
    mask : int
        The token that hides another.
    n_symbols : int
        Size of the vocabulary.
    rate : float
        From 0 to 1.
    special : sequence of int
        Tokens that are never chosen and never put in another's place, such as padding and the
        marks at the ends of a text; ``mask`` is one of them anyway.

    Returns
    -------
    inputs, targets : int64 Tensor (b, t)
        Places that were not chosen have the target ``IGNORED``.

    Raises
    ------
    ValueError
        If ``rate`` is not from 0 to 1, a token is not in the vocabulary, or all are special.
    TypeError
        If ``x`` is not int64.

    Examples
    --------
    >>> x = torch.tensor([[5, 6, 7, 0]])
    >>> mask_tokens(x, torch.Generator().manual_seed(0), mask=1, n_symbols=10, rate=1.0)[1]
    tensor([[   5,    6,    7, -100]])
    """
    _check_tokens(x)
    _check_vocabulary(x, n_symbols)
    _check_rate(rate)
    if not PAD < mask < n_symbols:
        raise ValueError(f"mask: {mask}; give a token from 1 to {n_symbols - 1}, 0 is padding")
    never = torch.tensor(sorted({*special, mask}))
    ordinary = torch.tensor(sorted(set(range(n_symbols)) - {*special, mask}))
    if not len(ordinary):
        raise ValueError(f"special: {list(special)} leaves no token of {n_symbols}; leave some")
    chosen = (torch.rand(x.shape, generator=generator) < rate) & ~torch.isin(x, never)
    lot = torch.rand(x.shape, generator=generator)
    other = ordinary[torch.randint(len(ordinary), x.shape, generator=generator)]
    inputs = torch.where(chosen & (lot < 0.8), mask, x)
    inputs = torch.where(chosen & (lot >= 0.9), other, inputs)
    return inputs, torch.where(chosen, x, IGNORED)


def corrupt(
    x: Tensor,
    generator: torch.Generator,
    how: Literal["delete", "replace"],
    *,
    n_symbols: int,
    rate: float = 0.15,
) -> Tensor:
    """Damage texts at random; a denoising autoencoder gives back what they were.

    ``"delete"`` takes tokens out, and the rest moves together; ``"replace"`` puts random tokens in
    their places. Padding stays, and so does the first token of a text that would lose all.

    Parameters
    ----------
    x : int64 Tensor (b, t)
        Tokens, padded with 0 at the end.
    generator : torch.Generator
    how : str
    n_symbols : int
        Size of the vocabulary.
    rate : float
        Probability, from 0 to 1, that a token is damaged. A random token may be the old one.

    Returns
    -------
    int64 Tensor (b, t)

    Raises
    ------
    ValueError
        If ``how`` is unknown, ``rate`` is not from 0 to 1, or a token is not in the vocabulary.

    Examples
    --------
    >>> x = torch.tensor([[5, 6, 7, 8, 0]])
    >>> generator = torch.Generator().manual_seed(1)
    >>> corrupt(x, generator, "delete", n_symbols=10, rate=0.5)
    tensor([[5, 8, 0, 0, 0]])
    """
    _check_tokens(x)
    _check_vocabulary(x, n_symbols)
    _check_rate(rate)
    if how not in ("delete", "replace"):
        raise ValueError(f"how: {how!r}; give 'delete' or 'replace'")
    real = x != PAD
    hit = (torch.rand(x.shape, generator=generator) < rate) & real
    if how == "replace":
        return torch.where(hit, torch.randint(1, n_symbols, x.shape, generator=generator), x)
    kept = real & ~hit
    first = real & (real.cumsum(1) == 1)
    kept = kept | (first & ~kept.any(dim=1, keepdim=True))
    order = kept.int().argsort(dim=1, descending=True, stable=True)  # what is kept comes first
    return (x * kept).gather(1, order)


def token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, over the places that are asked for.

    Parameters
    ----------
    logits : Tensor (b, t, v)
    targets : int64 Tensor (b, t)
        Tokens, or ``IGNORED``.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    ValueError
        If the shapes do not fit, or nothing is asked for.

    Examples
    --------
    >>> token_loss(torch.zeros(1, 2, 4), torch.tensor([[3, IGNORED]]))  # log 4
    tensor(1.3863)
    """
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"targets: shape {tuple(targets.shape)}; logits {tuple(logits.shape)}")
    if (targets == IGNORED).all():
        raise ValueError("targets: nothing is asked for; raise the rate or take a larger batch")
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


class MaskedLM(nn.Module):
    """A transformer that sees the tokens on both sides, for :func:`mask_tokens`.

    The blocks and the tied weights are those of :class:`nlpmeta.transformer.GPT`; attention is
    not causal, unless it is asked to be, and leaves out padding. In training, dropout falls on the
    vectors that enter.

    Parameters
    ----------
    config : GPTConfig
    generator : torch.Generator
        Draws the initial weights.
    dropout : float
        Share of the numbers that are set to 0 in training.
    causal : bool
        Let each place see itself and those before it only, for :func:`causal_targets`: the same
        network on another task.

    Raises
    ------
    ValueError
        If the positions are rotary; when called, if a text is longer than the context or a token
        is not in the vocabulary.

    Examples
    --------
    >>> config = GPTConfig(n_tokens=10, context=8, width=16, n_layers=2, n_heads=4)
    >>> model = MaskedLM(config, torch.Generator().manual_seed(0)).eval()
    >>> x = torch.tensor([[5, 6, 7, 0]])
    >>> model(x).shape, model.encode(x).shape
    (torch.Size([1, 4, 10]), torch.Size([1, 16]))
    >>> torch.allclose(model.encode(x), model.encode(x[:, :3]), atol=1e-6)
    True
    """

    def __init__(
        self,
        config: GPTConfig,
        generator: torch.Generator,
        dropout: float = 0.1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if config.positions != "learned":
            raise ValueError(f"config: positions {config.positions!r}; give 'learned' ones")
        self.network = GPT(config, generator)
        self.dropout, self.causal = nn.Dropout(dropout), causal

    def states(self, x: Tensor) -> Tensor:
        """A vector (b, t, d) for each of the tokens ``x`` (b, t), int64, padded with 0."""
        net = self.network
        _check_tokens(x)
        _check_vocabulary(x, net.config.n_tokens)
        if x.shape[1] > net.context:
            raise ValueError(f"x: {x.shape[1]} tokens; cut to the context of {net.context}")
        seen = x != PAD  # (b, t)
        seen[:, 0] = True  # an empty text sees one padding, or its weights would be 0 / 0
        seen = seen[:, None, None, :]  # (b, 1, 1, t)
        if self.causal:
            t = x.shape[1]
            seen = seen & torch.ones(t, t, dtype=torch.bool, device=x.device).tril()
        net.attend_with(partial(F.scaled_dot_product_attention, attn_mask=seen))
        h = self.dropout(net.tokens(x) + net.places.weight[: x.shape[1]])  # (b, t, d)
        for block in net.blocks:
            h, _ = block(h, None)
        return net.norm(h)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, t, v) of the token at each place of ``x`` (b, t)."""
        return self.states(x) @ self.network.tokens.weight.T

    def encode(self, x: Tensor) -> Tensor:
        """One vector (b, d) for each text: the mean over its own tokens; 0 if it has none."""
        real = (x != PAD).unsqueeze(-1)  # (b, t, 1)
        return (self.states(x) * real).sum(1) / real.sum(1).clamp(min=1)


def _check_tokens(x: Tensor) -> None:
    if x.ndim != 2 or x.shape[1] == 0:
        raise ValueError(f"x: shape {tuple(x.shape)}; give (b, t) with at least one column")
    if x.dtype != torch.int64:
        raise TypeError(f"x: dtype {x.dtype}; give int64 tokens")


def _check_vocabulary(x: Tensor, n_symbols: int) -> None:
    wrong = x[(x < 0) | (x >= n_symbols)]
    if len(wrong):
        remedy = f"give 0 to {n_symbols - 1}"
        raise ValueError(f"x: token {wrong[0].item()} is not in the vocabulary; {remedy}")


def _check_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate: {rate}; give a probability from 0 to 1")
