"""Classifiers that a support set gives in closed form, once examples are vectors.

Each is a pure function of the support vectors, so the gradient of the query loss flows through the
adaptation into the encoder, and ``torch.func.vmap`` maps it over tasks. Class means stand in
:mod:`nlpmeta.meta`; here are the linear classifier that they amount to
(:func:`prototype_classifier`, Snell, Swersky and Zemel, 2017), attention over the support set
(:func:`attention_logits`, Vinyals et al., 2016), a comparison that is learned
(:func:`relation_logits`, Sung et al., 2018) and ridge regression (:func:`ridge_weights`,
Bertinetto et al., 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def prototype_classifier(c: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest prototype as a linear classifier, ``w_k = 2 c_k, b_k = -|c_k|^2``.

    ``-|z - c_k|^2 = 2 c_k z - |c_k|^2 - |z|^2``, and the last term is the same for all classes, so
    the softmax of ``z @ w.T + b`` is that of the distances (Snell et al., 2017).

    Parameters
    ----------
    c : Tensor of float, shape (n, d)
        Prototypes.

    Returns
    -------
    w : Tensor, shape (n, d)
    b : Tensor, shape (n,)

    Examples
    --------
    >>> prototype_classifier(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    (tensor([[2., 0.],
            [0., 6.]]), tensor([-1., -9.]))
    """
    return 2 * c, -c.square().sum(-1)


def attention_logits(
    z: Tensor, support_z: Tensor, support_y: Tensor, n_way: int, temperature: float
) -> Tensor:
    """Log probabilities of the classes: each support example votes with its share of attention.

    ``log p(k | z) = log sum of a_i over i with y_i = k``, where
    ``a = softmax_i(cos(z, z_i) / temperature)`` (Vinyals et al., 2016, whose temperature is 1).

    Parameters
    ----------
    z : Tensor of float, shape (q, d)
        Encoded queries.
    support_z : Tensor of float, shape (s, d)
        Encoded support examples.
    support_y : Tensor of int64, shape (s,)
        Their labels, each of 0 to n_way - 1 at least once.
    n_way : int
        Number of classes.
    temperature : float
        Above 0; the smaller, the more the nearest example decides.

    Returns
    -------
    Tensor, shape (q, n_way)

    Examples
    --------
    >>> votes = attention_logits(
    ...     torch.tensor([[1.0, 0.0]]), torch.eye(2), torch.tensor([0, 1]), 2, temperature=1.0
    ... )
    >>> votes.exp()  # e / (e + 1) and 1 / (e + 1)
    tensor([[0.7311, 0.2689]])
    """
    cosine = F.normalize(z, dim=-1) @ F.normalize(support_z, dim=-1).T  # (q, s)
    log_a = (cosine / temperature).log_softmax(-1)
    member = F.one_hot(support_y, n_way).bool()  # (s, n)
    return log_a.unsqueeze(-1).masked_fill(~member, -torch.inf).logsumexp(-2)  # (q, n)


def relation_logits(z: Tensor, c: Tensor, compare: Callable[[Tensor], Tensor]) -> Tensor:
    """What a learned function says of every pair of a query and a class, ``g([c_k, z])``.

    The distance of a prototypical network is given; here it is learned (Sung et al., 2018).

    Parameters
    ----------
    z : Tensor of float, shape (q, d)
        Encoded queries.
    c : Tensor of float, shape (n, d)
        A vector for each class.
    compare : callable
        Maps pairs (q, n, 2 d) to scores (q, n, 1).

    Returns
    -------
    Tensor, shape (q, n)

    Examples
    --------
    >>> relation_logits(
    ...     torch.tensor([[1.0]]), torch.tensor([[5.0], [7.0]]), lambda pair: pair.sum(-1, True)
    ... )
    tensor([[6., 8.]])
    """
    shape = (*z.shape[:-1], *c.shape)  # (q, n, d)
    pairs = torch.cat([c.expand(shape), z.unsqueeze(-2).expand(shape)], -1)  # (q, n, 2 d)
    return compare(pairs).squeeze(-1)


def ridge_weights(z: Tensor, y: Tensor, penalty: float | Tensor) -> Tensor:
    """The minimum of ``|z W - y|^2 + penalty |W|^2``, without an intercept.

    ``W = (z'z + penalty I)^-1 z'y``, a system of d equations, and by the Woodbury identity
    ``W = z'(zz' + penalty I)^-1 y``, a system of s; the smaller one is solved (Hoerl and Kennard,
    1970; as a layer to learn through, Bertinetto et al., 2019).

    Parameters
    ----------
    z : Tensor of float32 or float64, shape (s, d)
        Encoded support examples.
    y : Tensor of the same type, shape (s, n)
        Targets: the one-hot labels, where it is a classifier.
    penalty : float or Tensor
        Above 0.

    Returns
    -------
    Tensor, shape (d, n)

    Raises
    ------
    TypeError
        If z is of half precision, in which the system cannot be solved.

    Examples
    --------
    >>> ridge_weights(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [2.0]]), penalty=5.0)
    tensor([[0.5000]])
    """
    if z.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"z is of type {z.dtype}; ridge regression needs float32: encoder.float()")
    s, d = z.shape
    eye = torch.eye(min(s, d), dtype=z.dtype, device=z.device)
    if s < d:
        return z.T @ torch.linalg.solve(z @ z.T + penalty * eye, y)  # (d, n)
    return torch.linalg.solve(z.T @ z + penalty * eye, z.T @ y)  # (d, n)
