"""Word vectors from the company a word keeps: skip-gram with negative sampling.

A word's vector is trained to tell the words that stand near it from words drawn at random
(Mikolov et al., 2013). At the optimum the products of vectors are pointwise mutual information,
shifted by log k (Levy and Goldberg, 2014). Exports :func:`skip_gram_pairs`,
:func:`noise_distribution`, :func:`sgns_loss` and :class:`SkipGram`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.neural import PAD
from nlpmeta.training import History, fit, minibatches

__all__ = ["SkipGram", "noise_distribution", "sgns_loss", "skip_gram_pairs"]


def skip_gram_pairs(x: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Every word of a text with every other that stands at most ``window`` places away.

    Parameters
    ----------
    x : int64 Tensor (b, t)
        A text per row, padded with 0, which is in no pair.
    window : int
        At least 1.

    Returns
    -------
    centers, contexts : int64 Tensor (n,)

    Raises
    ------
    ValueError
        If ``window`` is below 1, ``x`` is no matrix or holds no pair.

    Examples
    --------
    >>> centers, contexts = skip_gram_pairs(torch.tensor([[5, 6, 7, 0]]), window=1)
    >>> sorted(zip(centers.tolist(), contexts.tolist()))
    [(5, 6), (6, 5), (6, 7), (7, 6)]
    """
    if not isinstance(window, int) or window < 1:
        raise ValueError(f"window: {window!r}; give an integer of at least 1")
    if x.ndim != 2:
        raise ValueError(f"x: shape {tuple(x.shape)}; give (b, t), a text per row")
    left, right = [], []
    for distance in range(1, min(window, x.shape[1] - 1) + 1):
        both = (x[:, :-distance] != PAD) & (x[:, distance:] != PAD)
        left.append(x[:, :-distance][both])
        right.append(x[:, distance:][both])
    if not sum(map(len, left)):
        raise ValueError("x: it holds no pair of words; give a text of two words or more")
    a, b = torch.cat(left), torch.cat(right)  # a stands before b
    return torch.cat([a, b]), torch.cat([b, a])


def noise_distribution(counts: Tensor) -> Tensor:
    r"""The distribution that negative words are drawn from, :math:`q(w) \propto n(w)^{3/4}`.

    Between the words' own frequencies and equal ones (Mikolov et al., 2013).

    Parameters
    ----------
    counts : Tensor (v,)
        How often each word occurs; 0 or more, not all 0.

    Returns
    -------
    float64 Tensor (v,)
        Sums to 1; 0 for a word that does not occur.

    Raises
    ------
    ValueError
        If a count is negative or not finite, or all are 0.

    Examples
    --------
    >>> noise_distribution(torch.tensor([0, 16, 1]))
    tensor([0.0000, 0.8889, 0.1111], dtype=torch.float64)
    """
    n = counts.to(torch.float64)
    if n.ndim != 1 or not n.isfinite().all() or (n < 0).any() or not (n > 0).any():
        raise ValueError("counts: give a vector of finite numbers from 0 upward, one above 0")
    return n**0.75 / (n**0.75).sum()


def sgns_loss(center: Tensor, context: Tensor, negative: Tensor) -> Tensor:
    r"""Loss of skip-gram with negative sampling, in nats, mean over pairs.

    .. math:: L = -\log \sigma(u_o^\top v) - \sum_{j=1}^k \log \sigma(-u_j^\top v)

    (Mikolov et al., 2013, the negative of their objective).

    Parameters
    ----------
    center : Tensor of float (b, d)
        The vectors v of the words in the middle.
    context : Tensor of float (b, d)
        The vectors :math:`u_o` of words that stand near them.
    negative : Tensor of float (b, k, d)
        The vectors :math:`u_j` of words drawn at random.

    Returns
    -------
    Tensor
        A scalar; (1 + k) log 2 if all products are 0.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> sgns_loss(torch.ones(1, 2), torch.zeros(1, 2), torch.zeros(1, 3, 2))  # 4 log 2
    tensor(2.7726)
    """
    b, d = center.shape
    if context.shape != (b, d) or negative.ndim != 3 or negative.shape[::2] != (b, d):
        raise ValueError(
            f"center, context, negative: shapes {tuple(center.shape)}, {tuple(context.shape)}, "
            f"{tuple(negative.shape)}; give (b, d), (b, d), (b, k, d)"
        )
    near = F.logsigmoid((context * center).sum(-1))  # (b,)
    far = F.logsigmoid(-(negative @ center.unsqueeze(-1)).squeeze(-1)).sum(-1)  # (b,)
    return -(near + far).mean()


class SkipGram(nn.Module):
    """Two vectors for each word, as a center and as a context, trained by :func:`sgns_loss`.

    Contexts begin at 0 and centers uniform in ``(-1 / 2d, 1 / 2d)``, as in word2vec.

    Parameters
    ----------
    n_symbols : int
        Size of the vocabulary; symbol 0 is padding.
    width : int
        Length d of the vectors.
    generator : torch.Generator
        Draws the initial vectors.

    Attributes
    ----------
    center, context : nn.Embedding
        The vectors of a word in the middle, which are kept, and near it.

    Raises
    ------
    ValueError
        If ``n_symbols`` or ``width`` is below 1.

    Examples
    --------
    >>> model = SkipGram(6, 4, torch.Generator().manual_seed(0))
    >>> history = model.fit(torch.tensor([[1, 2, 3, 4, 5]] * 9), window=1, steps=5, size=16)
    >>> len(history.losses), model.neighbors(1, 2).shape
    (5, torch.Size([2]))
    """

    def __init__(self, n_symbols: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        for name, value in (("n_symbols", n_symbols), ("width", width)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: {value!r}; give an integer of at least 1")
        self.center, self.context = nn.Embedding(n_symbols, width), nn.Embedding(n_symbols, width)
        nn.init.uniform_(self.center.weight, -0.5 / width, 0.5 / width, generator=generator)
        nn.init.zeros_(self.context.weight)

    def forward(self, centers: Tensor, contexts: Tensor, negatives: Tensor) -> Tensor:
        """The loss of pairs, int64 (b,) and (b,), with negative words (b, k)."""
        return sgns_loss(self.center(centers), self.context(contexts), self.context(negatives))

    def fit(
        self,
        x: Tensor,
        *,
        window: int = 5,
        negatives: int = 5,
        steps: int = 1000,
        size: int = 1024,
        lr: float = 0.01,
        seed: int = 0,
    ) -> History:
        """Train on all pairs of a text, by :func:`nlpmeta.training.fit` with Adam.

        Parameters
        ----------
        x : int64 Tensor (b, t)
            As in :func:`skip_gram_pairs`.
        window : int
            Places to each side that are near; all count alike.
        negatives : int
            Words k drawn for each pair, one of which may be the context itself.
        steps, size : int
            Updates, and pairs in each.
        lr : float
            Learning rate.
        seed : int
            Which pairs and which negative words.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            If ``negatives`` is below 1, a word is not in the vocabulary, or there is no pair.
        """
        v = self.center.num_embeddings
        if not isinstance(negatives, int) or negatives < 1:
            raise ValueError(f"negatives: {negatives!r}; give an integer of at least 1")
        wrong = x[(x < 0) | (x >= v)]
        if len(wrong):
            raise ValueError(f"x: word {wrong[0].item()} is not in the vocabulary of {v}")
        pairs = minibatches(*skip_gram_pairs(x, window), size=size, seed=seed)
        noise = noise_distribution(torch.bincount(x[x != PAD], minlength=v)).numpy()
        upto = noise.cumsum()
        upto /= upto[-1]

        def batch(step: int) -> tuple[Tensor, ...]:
            centers, contexts = pairs(step)
            lots = np.random.default_rng([seed, step, 1]).random((len(centers), negatives))
            drawn = upto.searchsorted(lots, side="right")  # (b, k)
            return centers, contexts, torch.from_numpy(drawn)

        return fit(self, lambda model, b: model(*b), batch, steps=steps, lr=lr, seed=seed)

    @torch.no_grad()
    def neighbors(self, word: int, n: int) -> Tensor:
        """The n words, int64 (n,), whose center vectors have the largest cosine with a word's.

        The word itself and the padding are left out.
        """
        v = self.center.num_embeddings
        if not PAD < word < v:
            raise ValueError(f"word: {word} is not in the vocabulary; give 1 to {v - 1}")
        if not 1 <= n <= v - 2:
            raise ValueError(f"n: {n}; give 1 to {v - 2}")
        z = F.normalize(self.center.weight, dim=-1)  # (v, d)
        cosine = z @ z[word]
        cosine[[PAD, word]] = -torch.inf
        return cosine.topk(n).indices
