"""A GPT small enough to read: attention, position, block, network, generation.

The network is the decoder of Vaswani et al. (2017) in the pre-norm form of GPT-2 (Radford et al.,
2019), so that it can take the weights of a ``transformers`` GPT-2 and give the same logits, and
hand its own back. Positions are learned vectors or the rotations of Su et al. (2021). Exports
``GPTConfig``, ``GPT``, ``attention`` (written out) and ``fused_attention`` (the same, PyTorch's
kernel) and ``rotate``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta import decoding

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

__all__ = ["GPT", "GPTConfig", "attention", "fused_attention", "rotate"]

Cache = tuple[tuple[Tensor, Tensor], ...]  # keys and values (b, h, s, d/h) of every block


@dataclass(frozen=True)
class GPTConfig:
    """The shape of a GPT.

    Attributes
    ----------
    n_tokens : int
        Size of the vocabulary.
    context : int
        Most tokens that it can look at.
    width : int
        Length d of the vectors in the residual stream, a multiple of ``n_heads``.
    n_layers, n_heads : int
        Number of blocks; heads of each.
    positions : str
        ``"learned"`` vectors, added to those of the tokens, or ``"rotary"``: queries and keys are
        turned.
    """

    n_tokens: int
    context: int
    width: int
    n_layers: int
    n_heads: int
    positions: Literal["learned", "rotary"] = "learned"

    def __post_init__(self) -> None:
        for name in ("n_tokens", "context", "width", "n_layers", "n_heads"):
            if not isinstance(value := getattr(self, name), int) or value < 1:
                raise ValueError(f"{name} is {value!r}; give an integer of at least 1")
        if self.width % self.n_heads:
            remedy = f"give a multiple of {self.n_heads}"
            raise ValueError(f"width is {self.width}, which the heads do not divide; {remedy}")
        if self.positions not in ("learned", "rotary"):
            raise ValueError(f"positions is {self.positions!r}; give 'learned' or 'rotary'")
        if self.positions == "rotary" and self.width // self.n_heads % 2:
            raise ValueError(
                f"a head has {self.width // self.n_heads} numbers, and rotary positions turn "
                "pairs; give a width that makes it an even number"
            )


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention, causal if not told otherwise: averages of the values, and their weights.

    ``softmax(q k^T / sqrt(d)) v``, where a query sees no key after its own place (Vaswani et al.,
    2017). The t queries are the last t of the s places.

    Parameters
    ----------
    q : Tensor (..., t, d)
    k, v : Tensor (..., s, d)
        Keys and values, s at least t.
    seen : bool Tensor (t, s), optional
        Which keys each query sees, at least one, where that is not the past.

    Returns
    -------
    mixed : Tensor (..., t, d)
    weights : Tensor (..., t, s)
        Rows sum to 1.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> attention(x, x, x)[1]
    tensor([[1.0000, 0.0000],
            [0.3302, 0.6698]])
    """
    t, s = q.shape[-2], k.shape[-2]
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (..., t, s)
    if seen is None:
        seen = torch.ones(t, s, dtype=torch.bool, device=q.device).tril(s - t)
    weights = scores.masked_fill(~seen, -math.inf).softmax(dim=-1)  # (..., t, s)
    return weights @ v, weights


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The averages of :func:`attention` from PyTorch's kernel, which stores no weights.

    Parameters
    ----------
    q : Tensor (..., t, d)
    k, v : Tensor (..., s, d)

    Returns
    -------
    Tensor (..., t, d)

    Examples
    --------
    >>> x = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(fused_attention(x, x, x), attention(x, x, x)[0], atol=1e-6)
    True
    """
    t, s = q.shape[-2], k.shape[-2]
    if t in (1, s):
        return F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
    past = torch.ones(t, s, dtype=torch.bool, device=q.device).tril(s - t)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=past)


def rotate(x: Tensor, first: int = 0) -> Tensor:
    """Turn each vector by angles that grow with its place: rotary positions (Su et al., 2021).

    The i-th pair ``(x[i], x[i + d/2])`` of the vector at place m turns by the angle
    ``m * 10000 ** (-2 i / d)``. The product of a turned query and a turned key depends on their
    vectors and on the distance of their places.

    Parameters
    ----------
    x : Tensor (..., t, d)
        d is even.
    first : int
        The place of the first vector.

    Returns
    -------
    Tensor (..., t, d)

    Examples
    --------
    >>> rotate(torch.tensor([[1.0, 0.0]]), first=1)  # cos 1, sin 1
    tensor([[0.5403, 0.8415]])
    """
    t, d = x.shape[-2:]
    rates = 10_000.0 ** (-torch.arange(0, d, 2, device=x.device) / d)  # (d/2,)
    angles = torch.arange(first, first + t, device=x.device)[:, None] * rates  # (t, d/2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


class SelfAttention(nn.Module):
    """Multi-head attention; :attr:`attend` says how a head mixes, and may be replaced."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.n_heads, self.rotary = config.n_heads, config.positions == "rotary"
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.attend: Callable[[Tensor, Tensor, Tensor], Tensor] = fused_attention

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Mix the places of ``x`` (b, t, d) and of the past; return the longer past too."""
        b, t, d = x.shape
        heads = self.qkv(x).view(b, t, 3, self.n_heads, d // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # each (b, h, t, d/h)
        if self.rotary:
            seen = past[0].shape[-2] if past else 0
            q, k = rotate(q, seen), rotate(k, seen)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=-2), torch.cat([past[1], v], dim=-2)
        mixed = self.attend(q, k, v).transpose(1, 2).reshape(b, t, d)
        return self.out(mixed), (k, v)


class Block(nn.Module):
    """One layer: attention, then a network for each place, each added to the residual stream."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        d = config.width
        self.norm_1, self.attention = nn.LayerNorm(d), SelfAttention(config)
        self.norm_2, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``x + attention(norm(x))``, then ``x + mlp(norm(x))``; (b, t, d)."""
        mixed, past = self.attention(self.norm_1(x), past)
        x = x + mixed
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh")), past


class GPT(nn.Module):
    """A transformer that predicts the next token at every place (Radford et al., 2019).

    Vectors of tokens and places, ``n_layers`` blocks, a last layer norm; the logits are products
    with the token vectors (tied weights). Initial weights are normal with deviation 0.02, those
    that write into the residual stream divided by ``sqrt(2 n_layers)``.

    Parameters
    ----------
    config : GPTConfig
    generator : torch.Generator, optional
        Draws the initial weights; one with seed 0 if left out.

    Examples
    --------
    >>> model = GPT(GPTConfig(n_tokens=10, context=8, width=16, n_layers=2, n_heads=4))
    >>> logits, state = model(torch.tensor([[1, 2, 3]]))
    >>> more, _ = model(torch.tensor([[4]]), state)
    >>> torch.allclose(more, model(torch.tensor([[1, 2, 3, 4]]))[0][:, -1:], atol=1e-6)
    True
    """

    def __init__(self, config: GPTConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config, self.context = config, config.context
        self.tokens = nn.Embedding(config.n_tokens, config.width)
        if config.positions == "learned":
            self.places = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)
        generator = generator or torch.Generator().manual_seed(0)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                into_stream = name.endswith(("out.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * config.n_layers) if into_stream else 0.02
                nn.init.normal_(p, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, x: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        """Logits of the next token at every place, and the cache of keys and values.

        Parameters
        ----------
        x : int64 Tensor (b, t)
            Tokens.
        state : cache, optional
            What an earlier call returned for the tokens before ``x``.

        Returns
        -------
        logits : Tensor (b, t, v)
            Those at t predict token t + 1.
        state : cache
            Keys and values of all tokens so far.

        Raises
        ------
        ValueError
            If there is no token, one outside the vocabulary, or more than the context holds.
        """
        if x.ndim != 2 or x.shape[1] == 0:
            raise ValueError(f"x: shape {tuple(x.shape)}; give (b, t) with at least one token")
        seen = state[0][0].shape[-2] if state else 0
        end, v = seen + x.shape[1], self.config.n_tokens
        if end > self.context:
            raise ValueError(
                f"x: {end} tokens with those before it, and the model has context {self.context}; "
                f"keep the last {self.context}"
            )
        if x.min() < 0 or x.max() >= v:
            wrong = x[(x < 0) | (x >= v)][0].item()
            raise ValueError(f"x: token {wrong} is not in the vocabulary; give 0 to {v - 1}")
        h = self.tokens(x)  # (b, t, d)
        if self.config.positions == "learned":
            h = h + self.places.weight[seen:end]
        new = []
        for block, past in zip(self.blocks, state or [None] * len(self.blocks)):
            h, past = block(h, past)
            new.append(past)
        return self.norm(h) @ self.tokens.weight.T, tuple(new)

    def attend_with(self, attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Self:
        """Replace how every head mixes, for example to record or to change the weights.

        Parameters
        ----------
        attend : callable
            ``attend(q, k, v)`` with shapes (b, h, t, d/h) and twice (b, h, s, d/h) gives
            (b, h, t, d/h); :func:`fused_attention` is the one a model starts with.

        Returns
        -------
        GPT
            Itself.
        """
        for block in self.blocks:
            block.attention.attend = attend
        return self

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor,
        length: int,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> Tensor:
        """Continue a text token by token, each from the cache of those before.

        When the context is full, the model reads the last half of it anew and goes on.

        Parameters
        ----------
        prompt : int64 Tensor (b, t)
            At least one token, at most ``context``.
        length : int
            Tokens to add.
        generator : torch.Generator, optional
            Not needed at temperature 0, which takes the most probable token.
        temperature, top_k, top_p
            As in :mod:`nlpmeta.decoding`.

        Returns
        -------
        int64 Tensor (b, length)
            The new tokens.

        Examples
        --------
        >>> model = GPT(GPTConfig(n_tokens=10, context=8, width=16, n_layers=2, n_heads=4))
        >>> model.generate(torch.tensor([[1, 2, 3]]), 20, temperature=0).shape
        torch.Size([1, 20])
        """
        tokens, state = prompt, None
        for _ in range(length):
            if state is None:
                read = tokens
            elif state[0][0].shape[-2] < self.context:
                read = tokens[:, -1:]
            else:
                read, state = tokens[:, -max(1, self.context // 2) :], None
            logits, state = self(read, state)
            new = decoding.draw(logits[:, -1], temperature, top_k, top_p, generator)  # (b,)
            tokens = torch.cat([tokens, new[:, None]], dim=1)
        return tokens[:, prompt.shape[1] :]

    @classmethod
    def from_huggingface(cls, model: GPT2LMHeadModel) -> Self:
        """The same network as a GPT-2 of ``transformers``, with a copy of its weights.

        Parameters
        ----------
        model : transformers.GPT2LMHeadModel

        Returns
        -------
        GPT
            In evaluation mode, without dropout.

        Raises
        ------
        ValueError
            If it has a part that this network lacks; the message names the setting.
        """
        theirs = model.config
        wanted = {
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "n_inner": (None, 4 * theirs.n_embd),
            "layer_norm_epsilon": (1e-5,),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "add_cross_attention": (False,),
            "tie_word_embeddings": (True,),
        }
        for name, values in wanted.items():
            if (value := getattr(theirs, name)) not in values:
                raise ValueError(
                    f"model has {name}={value!r}; GPT needs {' or '.join(map(repr, values))}"
                )
        config = GPTConfig(
            theirs.vocab_size, theirs.n_positions, theirs.n_embd, theirs.n_layer, theirs.n_head
        )
        gpt = cls(config)
        weights = model.transformer.state_dict()
        gpt.load_state_dict({key: _turned(weights[_theirs(key)], key) for key in gpt.state_dict()})
        return gpt.eval()

    def to_huggingface(self) -> GPT2LMHeadModel:
        """The same network as a GPT-2 of ``transformers``, whose ``save_pretrained`` stores it.

        Returns
        -------
        transformers.GPT2LMHeadModel

        Raises
        ------
        ValueError
            If the positions are rotary, which GPT-2 does not have.
        """
        from transformers import GPT2Config, GPT2LMHeadModel

        c = self.config
        if c.positions != "learned":
            raise ValueError(f"positions are {c.positions!r}; GPT-2 has 'learned' ones")
        theirs = GPT2Config(
            vocab_size=c.n_tokens, n_positions=c.context, n_embd=c.width, n_layer=c.n_layers,
            n_head=c.n_heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
            bos_token_id=None, eos_token_id=None,
        )  # fmt: skip
        model = GPT2LMHeadModel(theirs)
        weights = {_theirs(name): _turned(p, name) for name, p in self.state_dict().items()}
        model.transformer.load_state_dict(weights)
        return model.eval()


_NAMES = {
    "tokens": "wte", "places": "wpe", "blocks": "h", "norm_1": "ln_1", "norm_2": "ln_2",
    "attention": "attn", "qkv": "c_attn", "up": "mlp.c_fc", "down": "mlp.c_proj", "norm": "ln_f",
    "out": "c_proj",
}  # fmt: skip


def _theirs(name: str) -> str:
    """What GPT-2 calls a weight of ours."""
    return ".".join(_NAMES.get(part, part) for part in name.split("."))


def _turned(weight: Tensor, name: str) -> Tensor:
    """A matrix of a block transposed, since GPT-2 stores (in, out); everything else as it is."""
    return weight.T.contiguous() if name.startswith("blocks") and weight.ndim == 2 else weight
