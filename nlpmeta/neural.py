"""Networks that turn strings of character numbers into vectors.

:class:`CharacterCNN` is the encoder that the few-shot chapters train; its convolutions follow
Kim (2014), over characters as in Zhang, Zhao and LeCun (2015). :class:`BagEncoder` forgets the
order of the characters, :class:`GRUEncoder` reads them one by one. :class:`NGramFeatures` is the
classical counterpart without anything to learn: counts of character n-grams, hashed to a fixed
width (Weinberger et al., 2009). All map a tensor (..., t) of character numbers, padded with 0, to
vectors (..., d).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

PAD = 0


class CharacterCNN(nn.Module):
    """Encode strings by two convolutions over their characters and a maximum over positions.

    ``z = W max_t relu(conv(relu(conv(E[x]))))``, the maximum taken over the string's own
    characters and not over the padding.

    Parameters
    ----------
    n_symbols : int
        Size of the vocabulary; symbol 0 is the padding.
    d_embedding, d_hidden, d_out : int
        Widths of the character vectors, of the convolutions and of the result.
    generator : torch.Generator
        Draws the initial weights.

    Examples
    --------
    >>> encoder = CharacterCNN(30, 8, 16, 4, torch.Generator().manual_seed(0))
    >>> encoder(torch.tensor([[5, 6, 7, 0, 0]])).shape
    torch.Size([1, 4])
    """

    def __init__(
        self,
        n_symbols: int,
        d_embedding: int,
        d_hidden: int,
        d_out: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, d_embedding)
        self.narrow = nn.Conv1d(d_embedding, d_hidden, kernel_size=3, padding=1)
        self.wide = nn.Conv1d(d_hidden, d_hidden, kernel_size=3, padding=1)
        self.out = nn.Linear(d_hidden, d_out)
        initialize(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (..., d_out) of the strings ``x`` (..., t), whose numbers are int64."""
        text = x.reshape(-1, x.shape[-1])  # (b, t)
        real = (text != PAD).unsqueeze(1)  # (b, 1, t)
        h = self.embedding(text).transpose(1, 2) * real  # (b, d_embedding, t)
        h = torch.relu(self.narrow(h)) * real  # (b, d_hidden, t)
        h = torch.relu(self.wide(h)) * real
        # relu is never below 0 and padding is 0, so the maximum is the string's own
        return self.out(h.amax(-1)).reshape(*x.shape[:-1], -1)  # (..., d_out)


class BagEncoder(nn.Module):
    """Encode strings by the mean of their symbols' vectors: order is lost.

    ``z = W2 relu(W1 mean_t E[x_t])``, the mean over the string's own symbols (the deep averaging
    network of Iyyer et al., 2015, with one layer).

    Parameters
    ----------
    n_symbols : int
        Size of the vocabulary; symbol 0 is the padding.
    d_embedding, d_hidden, d_out : int
        Widths of the symbol vectors, of the layer and of the result.
    generator : torch.Generator
        Draws the initial weights.

    Examples
    --------
    >>> encoder = BagEncoder(30, 8, 16, 4, torch.Generator().manual_seed(0))
    >>> z = encoder(torch.tensor([[5, 6, 7, 0], [7, 5, 6, 0]]))
    >>> z.shape, torch.allclose(z[0], z[1], atol=1e-6)
    (torch.Size([2, 4]), True)
    """

    def __init__(
        self,
        n_symbols: int,
        d_embedding: int,
        d_hidden: int,
        d_out: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, d_embedding)
        self.hidden = nn.Linear(d_embedding, d_hidden)
        self.out = nn.Linear(d_hidden, d_out)
        initialize(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (..., d_out) of the strings ``x`` (..., t), whose numbers are int64."""
        real = (x != PAD).unsqueeze(-1)  # (..., t, 1)
        mean = (self.embedding(x) * real).sum(-2) / real.sum(-2).clamp(min=1)  # (..., d_embedding)
        return self.out(torch.relu(self.hidden(mean)))


class GRUEncoder(nn.Module):
    """Encode strings by the state of a gated recurrent unit after their last symbol.

    ``z = W h_T`` (Cho et al., 2014), where T is the string's own length.

    Parameters
    ----------
    n_symbols : int
        Size of the vocabulary; symbol 0 is the padding, at the end of a string.
    d_embedding, d_hidden, d_out : int
        Widths of the symbol vectors, of the state and of the result.
    generator : torch.Generator
        Draws the initial weights.

    Examples
    --------
    >>> encoder = GRUEncoder(30, 8, 16, 4, torch.Generator().manual_seed(0))
    >>> z = encoder(torch.tensor([[5, 6, 7, 0, 0]]))
    >>> torch.allclose(z, encoder(torch.tensor([[5, 6, 7]])), atol=1e-6)
    True
    """

    def __init__(
        self,
        n_symbols: int,
        d_embedding: int,
        d_hidden: int,
        d_out: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, d_embedding)
        self.recurrent = nn.GRU(d_embedding, d_hidden, batch_first=True)
        self.out = nn.Linear(d_hidden, d_out)
        initialize(self, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (..., d_out) of the strings ``x`` (..., t), whose numbers are int64."""
        text = x.reshape(-1, x.shape[-1])  # (b, t)
        h, _ = self.recurrent(self.embedding(text))  # (b, t, d_hidden)
        length = (text != PAD).sum(1)  # (b,)
        last = h[torch.arange(len(text)), (length - 1).clamp(min=0)]  # (b, d_hidden)
        last = last * (length > 0).unsqueeze(-1)  # an empty string has seen nothing
        return self.out(last).reshape(*x.shape[:-1], -1)  # (..., d_out)


def initialize(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of a network anew: normal with variance 1 / fan-in, biases 0.

    Recurrent layers with states of width m get uniform weights between ``-m ** -0.5`` and
    ``m ** -0.5``, and an LSTM's forget gates start open, with bias 1 (Jozefowicz et al., 2015).

    Parameters
    ----------
    module : nn.Module
        Changed in place. Embedding tables (one-dimensional fan-in) get variance 1.
    generator : torch.Generator
        The only source of randomness.
    """
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Embedding):
                layer.weight.normal_(0.0, 1.0, generator=generator)
            elif isinstance(layer, nn.Linear | nn.Conv1d):
                fan_in = layer.weight[0].numel()
                layer.weight.normal_(0.0, fan_in**-0.5, generator=generator)
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, nn.RNNBase):
                m = layer.hidden_size
                for name, p in layer.named_parameters():
                    if p.ndim == 2:
                        p.uniform_(-(m**-0.5), m**-0.5, generator=generator)
                    else:
                        p.zero_()
                        if isinstance(layer, nn.LSTM) and name.startswith("bias_ih"):
                            p[m : 2 * m] = 1.0


class NGramFeatures:
    """Represent strings by the n-grams of characters in them, hashed, weighted and normalized.

    Each n-gram of each order falls into one of ``width`` buckets. A bucket's value is
    ``(1 + log count) * weight``; the vector is then scaled to length 1. The weight is the
    inverse document frequency ``log((1 + n) / (1 + df)) + 1``, from the strings given to
    :meth:`fit`; before, it is 1.

    Parameters
    ----------
    orders : sequence of int
        The lengths of the n-grams.
    width : int
        Number of buckets, the length of the vectors.

    Examples
    --------
    >>> features = NGramFeatures((1, 2), 16)
    >>> z = features(torch.tensor([[5, 6, 5, 0]]))
    >>> z.shape, round(float(z.norm()), 3)
    (torch.Size([1, 16]), 1.0)
    """

    def __init__(self, orders: tuple[int, ...] = (1, 2, 3), width: int = 4096) -> None:
        if not orders or min(orders) < 1 or width < 1:
            raise ValueError(f"orders {orders} and width {width} must be positive numbers")
        self.orders, self.width = orders, width
        self.weight = torch.ones(width)

    def counts(self, x: Tensor) -> Tensor:
        """How often each bucket occurs in each of the strings ``x`` (b, t): float32 (b, width)."""
        counts = torch.zeros(len(x), self.width)
        for order in self.orders:
            if order > x.shape[-1]:
                continue
            grams = x.unfold(-1, order, 1)  # (b, t - order + 1, order)
            bucket = torch.full(grams.shape[:-1], order, dtype=torch.int64)
            for place in range(order):
                bucket = (bucket * 1_000_003 + grams[..., place]) % 2_147_483_647
            whole = (grams != PAD).all(-1).float()
            counts.scatter_add_(1, bucket % self.width, whole)
        return counts

    def fit(self, x: Tensor) -> NGramFeatures:
        """Learn the bucket weights from unlabeled strings ``x`` (n, t)."""
        seen = torch.stack([(self.counts(part) > 0).sum(0) for part in x.split(4096)]).sum(0)
        self.weight = torch.log((1 + len(x)) / (1 + seen)) + 1
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """Vectors (..., width) of length 1 for the strings ``x`` (..., t)."""
        counts = self.counts(x.reshape(-1, x.shape[-1]))
        z = torch.where(counts > 0, 1 + torch.log(counts.clamp(min=1)), 0) * self.weight
        z = z / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return z.reshape(*x.shape[:-1], self.width)
