"""Learners that adapt by placing classes in a learned space.

Each has an encoder that all tasks share and a classifier that the support set gives in closed
form: :class:`ProtoNet` class means, :class:`MatchingNet` attention over the examples,
:class:`RelationNet` a learned comparison with the class means, :class:`RidgeNet` ridge regression.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nlpmeta.episodes import Predictor, n_ways
from nlpmeta.heads import attention_logits, relation_logits, ridge_weights
from nlpmeta.meta import prototype_logits, prototypes
from nlpmeta.neural import initialize


class ProtoNet(nn.Module):
    """Prototypical network (Snell, Swersky and Zemel, 2017): nearest class mean after an encoder.

    ``p(y = k | x) = softmax_k(-|f(x) - c_k|^2)`` with ``c_k`` the mean of ``f`` over the support
    examples of class ``k``. The encoder ``f`` is shared by all tasks; the means are the adaptation.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d).

    Examples
    --------
    >>> import torch
    >>> learner = ProtoNet(nn.Identity())
    >>> predict = learner.adapt(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[1.0]])).argmax(-1)
    tensor([0])
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def adapt(self, support_x: Tensor, support_y: Tensor, n_way: int | None = None) -> Predictor:
        """The classifier of one task; ``n_way`` must be given where labels are traced (vmap)."""
        n_way = n_ways(support_y) if n_way is None else n_way
        c = prototypes(self.encoder(support_x), support_y, n_way)  # (n, d)
        return lambda query_x: prototype_logits(self.encoder(query_x), c)  # (q, n)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Adapt to the support set and return the query logits (q, n_way)."""
        return self.adapt(support_x, support_y, n_way)(query_x)


class MatchingNet(nn.Module):
    """Matching network (Vinyals et al., 2016): every support example votes, the nearest loudest.

    ``p(y = k | x) = sum of a_i over i with y_i = k``, where
    ``a = softmax_i(cos(f(x), f(x_i)) / temperature)``. With one example a class it is a
    prototypical network with the cosine for a distance. Of the paper's two models it is the one
    in which an example's vector does not depend on the rest of the support set.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d).
    temperature : float
        Divides the cosines; the paper's is 1, with which no probability of five classes can
        exceed 0.65.

    Examples
    --------
    >>> import torch
    >>> learner = MatchingNet(nn.Identity())
    >>> predict = learner.adapt(torch.eye(2), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[1.0, 3.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(self, encoder: nn.Module, temperature: float = 0.1) -> None:
        super().__init__()
        _check_positive("temperature", temperature)
        self.encoder, self.temperature = encoder, temperature

    def adapt(self, support_x: Tensor, support_y: Tensor, n_way: int | None = None) -> Predictor:
        """The classifier of one task; ``n_way`` must be given where labels are traced (vmap)."""
        n_way = n_ways(support_y) if n_way is None else n_way
        z = self.encoder(support_x)  # (s, d)
        return lambda query_x: attention_logits(
            self.encoder(query_x), z, support_y, n_way, self.temperature
        )

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Adapt to the support set and return the query logits (q, n_way)."""
        return self.adapt(support_x, support_y, n_way)(query_x)


class RelationNet(nn.Module):
    """Relation network (Sung et al., 2018): a small network says how well query and class agree.

    The logit of class k is ``g([c_k, f(x)])`` with ``g`` two linear layers and a relu between them.
    The paper adds up the vectors of a class and fits scores to 0 and 1; here ``c_k`` is their mean,
    the same with one example a class, so that ``g`` can be asked at another number of shots, and
    the scores are logits of the cross-entropy like those of all other learners.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d).
    d : int
        Width of those vectors.
    d_hidden : int
        Width of the layer inside ``g``.
    generator : torch.Generator
        Draws the initial weights of ``g``.

    Examples
    --------
    >>> import torch
    >>> learner = RelationNet(nn.Identity(), 2, 8, torch.Generator().manual_seed(0))
    >>> predict = learner.adapt(torch.eye(2), torch.tensor([0, 1]))
    >>> predict(torch.ones(3, 2)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self, encoder: nn.Module, d: int, d_hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        _check_positive("d", d)
        _check_positive("d_hidden", d_hidden)
        self.encoder = encoder
        self.compare = nn.Sequential(nn.Linear(2 * d, d_hidden), nn.ReLU(), nn.Linear(d_hidden, 1))
        initialize(self.compare, generator)

    def adapt(self, support_x: Tensor, support_y: Tensor, n_way: int | None = None) -> Predictor:
        """The classifier of one task; ``n_way`` must be given where labels are traced (vmap)."""
        n_way = n_ways(support_y) if n_way is None else n_way
        c = prototypes(self.encoder(support_x), support_y, n_way)  # (n, d)
        return lambda query_x: relation_logits(self.encoder(query_x), c, self.compare)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Adapt to the support set and return the query logits (q, n_way)."""
        return self.adapt(support_x, support_y, n_way)(query_x)


class RidgeNet(nn.Module):
    """Ridge regression on the support set after an encoder (R2D2; Bertinetto et al., 2019).

    ``logits = scale * f(x) W`` with ``W`` the minimum of ``|f(S) W - Y|^2 + penalty |W|^2``, ``Y``
    the one-hot labels. Encoder, penalty and scale are learned over tasks, ``W`` is the adaptation.
    The shift that the paper adds to all logits alike drops out of the softmax and is left out.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d).
    penalty, scale : float
        Where they start; above 0. Their logarithms are what is learned, so they stay above 0.

    Examples
    --------
    >>> import torch
    >>> learner = RidgeNet(nn.Identity(), penalty=1.0, scale=1.0)
    >>> predict = learner.adapt(torch.eye(2), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[4.0, 0.0]])).detach()
    tensor([[2., 0.]])
    """

    def __init__(self, encoder: nn.Module, penalty: float = 1.0, scale: float = 10.0) -> None:
        super().__init__()
        _check_positive("penalty", penalty)
        _check_positive("scale", scale)
        self.encoder = encoder
        self.log_penalty = nn.Parameter(torch.tensor(penalty).log())
        self.log_scale = nn.Parameter(torch.tensor(scale).log())

    def adapt(self, support_x: Tensor, support_y: Tensor, n_way: int | None = None) -> Predictor:
        """The classifier of one task; ``n_way`` must be given where labels are traced (vmap)."""
        n_way = n_ways(support_y) if n_way is None else n_way
        z = self.encoder(support_x)  # (s, d)
        y = nn.functional.one_hot(support_y, n_way).to(z.dtype)  # (s, n)
        w = ridge_weights(z, y, self.log_penalty.exp())  # (d, n)
        return lambda query_x: self.log_scale.exp() * (self.encoder(query_x) @ w)  # (q, n)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Adapt to the support set and return the query logits (q, n_way)."""
        return self.adapt(support_x, support_y, n_way)(query_x)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}; give a positive number")
