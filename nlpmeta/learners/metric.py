"""Learners that adapt by placing classes in a learned space."""

from __future__ import annotations

from torch import Tensor, nn

from nlpmeta.episodes import Predictor, n_ways
from nlpmeta.meta import prototype_logits, prototypes


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
