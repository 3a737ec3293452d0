"""Vectors that learn from pairs which belong together, and measures of what they learned.

:func:`info_nce` asks which of many vectors belongs to this one (van den Oord, Li and Vinyals,
2018); :func:`simcse_loss` asks it about two dropouts of one text (Gao, Yao and Chen, 2021).
:func:`alignment` and :func:`uniformity` (Wang and Isola, 2020) say what such a loss is made of, and
:func:`linear_probe` what a linear classifier finds in the vectors (Alain and Bengio, 2017).
Exports as well what :mod:`nlpmeta.masking` and :mod:`nlpmeta.word_vectors` have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional as F

from nlpmeta.masking import MaskedLM, causal_targets, corrupt, mask_tokens, token_loss
from nlpmeta.word_vectors import SkipGram, noise_distribution, sgns_loss, skip_gram_pairs

__all__ = [
    "MaskedLM",
    "SkipGram",
    "alignment",
    "causal_targets",
    "corrupt",
    "info_nce",
    "linear_probe",
    "mask_tokens",
    "noise_distribution",
    "sgns_loss",
    "simcse_loss",
    "skip_gram_pairs",
    "token_loss",
    "uniformity",
]


def info_nce(a: Tensor, b: Tensor, temperature: float = 0.05) -> Tensor:
    r"""How hard it is to find the partner of each vector among all others of the batch, in nats.

    .. math:: L = -\frac1n \sum_i \log
       \frac{\exp(s_{ii} / \tau)}{\sum_j \exp(s_{ij} / \tau)}, \quad s_{ij} = \cos(a_i, b_j)

    (van den Oord, Li and Vinyals, 2018, with the cosine as the score). On average over batches
    :math:`\log n - L` is at most the mutual information of the two members of a pair.

    Parameters
    ----------
    a, b : Tensor of float (n, d)
        Row i of one belongs to row i of the other; n is at least 2.
    temperature : float
        The divisor :math:`\tau` of the cosines, above 0.

    Returns
    -------
    Tensor
        A scalar, from 0 upward; :math:`\log n` if all vectors are equal.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite, there is only one pair, or the temperature
        is not positive.

    Examples
    --------
    >>> a, b = torch.eye(2), torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    >>> info_nce(a, b, temperature=1.0)  # log(1 + 1/e)
    tensor(0.3133)
    """
    _check_pairs(a, b)
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature: {temperature}; give a positive number, such as 0.05")
    s = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T / temperature  # (n, n)
    return -s.log_softmax(dim=1).diagonal().mean()


def simcse_loss(encoder: Callable[[Any], Tensor], x: Any, temperature: float = 0.05) -> Tensor:
    """:func:`info_nce` of texts with themselves, encoded twice with different dropout.

    The dropout is all that makes the two views differ (Gao, Yao and Chen, 2021).

    Parameters
    ----------
    encoder : callable
        ``encoder(x)`` gives vectors (n, d); a network with dropout, in training mode.
    x : Tensor or whatever the encoder takes
        A batch of n texts, no two the same.
    temperature : float

    Returns
    -------
    Tensor
        A scalar, in nats.

    Raises
    ------
    ValueError
        If the encoder has no dropout at work, or as :func:`info_nce` does.

    Examples
    --------
    >>> encoder = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.1))
    >>> simcse_loss(encoder, torch.eye(4)).shape
    torch.Size([])
    """
    a, b = encoder(x), encoder(x)
    if torch.equal(a, b):
        raise ValueError(
            "encoder: it gave the same vectors twice; give it dropout and call encoder.train()"
        )
    return info_nce(a, b, temperature)


def alignment(a: Tensor, b: Tensor) -> Tensor:
    r"""How far the members of a pair are apart, :math:`\mathrm{mean}_i \lVert a_i - b_i \rVert^2`.

    The rows are scaled to length 1 first (Wang and Isola, 2020). Alone it is no loss to train by:
    an encoder that maps everything to one vector makes it 0.

    Parameters
    ----------
    a, b : Tensor of float (n, d)
        Row i of one belongs to row i of the other.

    Returns
    -------
    Tensor
        A scalar from 0, all partners equal, to 4, all opposite.

    Raises
    ------
    ValueError
        If the shapes differ, a number is not finite, or there is only one pair.

    Examples
    --------
    >>> alignment(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))  # (0 + 2) / 2
    tensor(1.)
    """
    _check_pairs(a, b)
    return (F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).square().sum(-1).mean()


def uniformity(z: Tensor) -> Tensor:
    r"""How unevenly vectors lie on the sphere: 0 if all are equal, lower the more they spread.

    .. math:: U = \log \operatorname{mean}_{i<j} \exp(-2 \lVert z_i - z_j \rVert^2)

    of rows scaled to length 1 (Wang and Isola, 2020, with t = 2).

    Parameters
    ----------
    z : Tensor of float (n, d)
        n is at least 2.

    Returns
    -------
    Tensor
        A scalar, from -8 to 0.

    Raises
    ------
    ValueError
        If a number is not finite or there is only one row.

    Examples
    --------
    >>> uniformity(torch.eye(2))  # one pair, at squared distance 2
    tensor(-4.)
    """
    _check_vectors(z, "z")
    z = F.normalize(z, dim=-1)
    i, j = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
    squares = (2 - 2 * (z @ z.T)[i, j]).clamp(min=0)  # of rows of length 1
    return (-2 * squares).logsumexp(0) - math.log(len(squares))


def linear_probe(
    train_z: ArrayLike | Tensor,
    train_y: ArrayLike | Tensor,
    test_z: ArrayLike | Tensor,
    test_y: ArrayLike | Tensor,
    *,
    c: float = 1.0,
    standardize: bool = True,
) -> float:
    """Accuracy of a linear classifier on frozen vectors: what is in them that a line can find.

    scikit-learn's logistic regression, by default on features that have mean 0 and variance 1 over
    the training part (linear probes: Alain and Bengio, 2017).

    Parameters
    ----------
    train_z, test_z : array, sparse array or Tensor of float (n, d), (m, d)
    train_y, test_y : array or Tensor (n,), (m,)
        Labels, of two classes at least.
    c : float
        Weight of the loss against the penalty; choose it on validation data.
    standardize : bool
        False takes the vectors as they are, which suits sparse ones: a word that occurs once would
        weigh as much as one that occurs everywhere.

    Returns
    -------
    float
        Share of the test part that is classified correctly, from 0 to 1.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, the training part has one class, ``c`` is
        not positive, or sparse vectors are to be standardized.

    Examples
    --------
    >>> z, y = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]]), [0, 0, 1, 1]
    >>> linear_probe(z, y, [[-3.0], [3.0]], [0, 1])
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train_z, train_y, test_z, test_y = map(_array, (train_z, train_y, test_z, test_y))
    if not (c > 0 and math.isfinite(c)):
        raise ValueError(f"c: {c}; give a positive number")
    if standardize and (sp.issparse(train_z) or sp.issparse(test_z)):
        raise ValueError("train_z, test_z: sparse, and to be standardized; give standardize=False")
    for part, z, y in (("train", train_z, train_y), ("test", test_z, test_y)):
        if z.ndim != 2 or y.shape != z.shape[:1] or not len(y):
            raise ValueError(f"{part}_z, {part}_y: shapes {z.shape}, {y.shape}; give (n, d), (n,)")
        if not np.isfinite(z.data if sp.issparse(z) else z).all():
            raise ValueError(f"{part}_z: not all numbers are finite; look at what made them")
    if train_z.shape[1] != test_z.shape[1]:
        raise ValueError(f"test_z: width {test_z.shape[1]}; train_z has {train_z.shape[1]}")
    if len(np.unique(train_y)) < 2:
        raise ValueError(f"train_y: only class {train_y[0]}; give two classes or more")
    scale = StandardScaler() if standardize else "passthrough"
    probe = make_pipeline(scale, LogisticRegression(C=c, max_iter=1000))
    return float(probe.fit(train_z, train_y).score(test_z, test_y))


def _array(values: ArrayLike | Tensor) -> np.ndarray | sp.sparray:
    if sp.issparse(values):
        return sp.csr_array(values)
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _check_vectors(z: Tensor, name: str) -> None:
    if z.ndim != 2 or len(z) < 2:
        raise ValueError(f"{name}: shape {tuple(z.shape)}; give (n, d) with at least two rows")
    if not z.isfinite().all():
        raise ValueError(f"{name}: not all numbers are finite; lower the learning rate, or clip")


def _check_pairs(a: Tensor, b: Tensor) -> None:
    _check_vectors(a, "a")
    _check_vectors(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"b: shape {tuple(b.shape)}, and a has {tuple(a.shape)}; give pairs")
