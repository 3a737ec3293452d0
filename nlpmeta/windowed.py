"""Language models that see a window of the past: Bengio's network, and causal convolutions.

The first neural language model puts the vectors of the last n tokens side by side and learns what
follows (Bengio et al., 2003). A stack of convolutions that look back at growing distances sees a
window that doubles with each layer (van den Oord et al., 2016). Exports ``FixedWindowLM`` and
``CausalCNNLM``. Their state is the end of the window, so a text may be read in pieces.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nlpmeta.neural import initialize

__all__ = ["CausalCNNLM", "FixedWindowLM"]


class FixedWindowLM(nn.Module):
    """Language model of the last n tokens: ``logits = U tanh(W [e_1; ...; e_n] + b) + c``.

    Every token has a vector e, the same at each of the n places (Bengio et al., 2003, without the
    direct connections from vectors to logits). Before the text stand zero vectors.

    Parameters
    ----------
    n : int
        Tokens that are seen.
    n_symbols : int
        Size of the vocabulary.
    d_embedding, d_hidden : int
        Widths of token vectors and hidden layer.
    generator : torch.Generator
        Draws the initial weights.

    Attributes
    ----------
    reach : int
        How many tokens the prediction depends on.

    Examples
    --------
    >>> network = FixedWindowLM(3, 10, 4, 8, generator=torch.Generator().manual_seed(0))
    >>> logits, state = network(torch.tensor([[1, 2, 3, 4, 5]]))
    >>> torch.allclose(logits[0, -1], network(torch.tensor([[9, 3, 4, 5]]))[0][0, -1])
    True
    """

    context = None

    def __init__(
        self, n: int, n_symbols: int, d_embedding: int, d_hidden: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        if n < 1:
            raise ValueError(f"n is {n}; give at least 1 token to see")
        self.reach = n
        self.embedding = nn.Embedding(n_symbols, d_embedding)
        self.hidden = nn.Linear(n * d_embedding, d_hidden)
        self.out = nn.Linear(d_hidden, n_symbols)
        initialize(self, generator)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits (b, t, v) after each of the tokens ``x`` (b, t); the last n - 1 vectors."""
        e = self.embedding(x)  # (b, t, d)
        if state is None:
            state = e.new_zeros(len(x), self.reach - 1, e.shape[-1])
        e = torch.cat([state, e], dim=1)  # (b, n - 1 + t, d)
        windows = e.unfold(1, self.reach, 1).transpose(-1, -2)  # (b, t, n, d)
        h = torch.tanh(self.hidden(windows.flatten(-2)))  # (b, t, m)
        return self.out(h), e[:, e.shape[1] - self.reach + 1 :]


class CausalCNNLM(nn.Module):
    """Language model of dilated causal convolutions, with residual connections.

    Layer i adds to each place ``relu(W [h_t ; h_(t - 2^i)] + b)``: kernels of two places that are
    2^i apart (van den Oord et al., 2016, without gates). After l layers a place has seen 2^l
    tokens, at the cost of l multiplications. Before the text stand zero vectors.

    Parameters
    ----------
    n_layers : int
    n_symbols : int
        Size of the vocabulary.
    d_hidden : int
        Width of token vectors and layers.
    generator : torch.Generator
        Draws the initial weights.

    Attributes
    ----------
    reach : int
        How many tokens the prediction depends on.

    Examples
    --------
    >>> network = CausalCNNLM(4, 10, 8, generator=torch.Generator().manual_seed(0))
    >>> network.reach, network(torch.tensor([[1, 2, 3]]))[0].shape
    (16, torch.Size([1, 3, 10]))
    """

    context = None

    def __init__(
        self, n_layers: int, n_symbols: int, d_hidden: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers is {n_layers}; give at least 1")
        self.reach = 2**n_layers
        self.embedding = nn.Embedding(n_symbols, d_hidden)
        self.layers = nn.ModuleList(
            nn.Conv1d(d_hidden, d_hidden, kernel_size=2, dilation=2**i) for i in range(n_layers)
        )
        self.out = nn.Linear(d_hidden, n_symbols)
        initialize(self, generator)

    def forward(
        self, x: Tensor, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits (b, t, v) after each of ``x`` (b, t); what the layers look back at."""
        h = self.embedding(x).transpose(1, 2)  # (b, d, t)
        kept = []
        for i, layer in enumerate(self.layers):
            back = 2**i
            past = h.new_zeros(*h.shape[:2], back) if state is None else state[i]
            wide = torch.cat([past, h], dim=-1)  # (b, d, back + t)
            kept.append(wide[..., -back:])
            h = h + torch.relu(layer(wide))
        return self.out(h.transpose(1, 2)), tuple(kept)
