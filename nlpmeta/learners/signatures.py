"""A learner that weighs words by where else they occur, and keeps no word's own meaning.

Which words matter differs from task to task, but *how* to tell may not: a word that is rare in
general, or that points to one class of the support set, is worth more (Bao et al., 2020).
:class:`SignatureNet` learns how far to trust these two statistics.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlpmeta.episodes import Predictor, n_ways
from nlpmeta.heads import ridge_weights
from nlpmeta.meta import prototype_logits, prototypes


class SignatureNet(nn.Module):
    r"""Class means of weighted word counts; the weights come from distributional signatures.

    A word w has the weight :math:`s_w^\alpha t_w^\beta` with

    .. math:: s_w = \frac{\epsilon}{\epsilon + P(w)}, \qquad t_w = \frac{1}{H(P(y \mid w))},

    P(w) its share of the texts to learn from and :math:`P(y \mid w)` the softmax of its row in a
    ridge regression of the support labels (Bao, Wu, Chang and Barzilay, 2020). There a recurrent
    network reads s and t of a sentence and a second ridge regression classifies vectors of words;
    here two exponents are learned over tasks, and class means classify the counts themselves.

    Parameters
    ----------
    share : Tensor of float, shape (v,)
        P(w) of each word, from texts of no test class.
    alpha, beta : float
        Where the exponents start; both 0 weigh all words alike.
    epsilon : float
        Above it a word counts as frequent.
    scale : float
        Of the distances, where it starts.

    Raises
    ------
    ValueError
        If a share is negative or not finite, or epsilon or scale is not positive.

    Examples
    --------
    >>> learner = SignatureNet(torch.tensor([0.5, 0.001, 0.001]), beta=0.0)
    >>> support = torch.tensor([[3.0, 1.0, 0.0], [1.0, 0.0, 1.0]])  # the first word is frequent
    >>> predict = learner.adapt(support, torch.tensor([0, 1]))
    >>> predict(torch.tensor([[3.0, 0.0, 1.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(
        self,
        share: Tensor,
        alpha: float = 1.0,
        beta: float = 1.0,
        epsilon: float = 1e-3,
        scale: float = 5.0,
    ) -> None:
        super().__init__()
        if not (share >= 0).all() or not share.isfinite().all():
            raise ValueError("share holds a number that is negative or not finite; give shares")
        for name, value in {"epsilon": epsilon, "scale": scale}.items():
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; give a positive number")
        self.register_buffer("log_s", torch.log(epsilon / (epsilon + share)))  # (v,)
        self.alpha, self.beta = (nn.Parameter(torch.tensor(float(x))) for x in (alpha, beta))
        self.log_scale = nn.Parameter(torch.tensor(float(scale)).log())
        self.log_sharpness = nn.Parameter(torch.tensor(10.0).log())

    def log_weights(self, support_x: Tensor, support_y: Tensor, n_way: int) -> Tensor:
        """The logarithm of each word's weight (v,) in a task."""
        general = self.alpha * self.log_s  # (v,)
        z = _weigh(support_x, general)  # (s, v)
        y = F.one_hot(support_y, n_way).to(z.dtype)  # (s, n)
        rows = self.log_sharpness.exp() * ridge_weights(z, y, z.new_tensor(0.1))  # (v, n)
        log_p = rows.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)  # (v,)
        return general - self.beta * entropy.clamp(min=1e-2).log()

    def adapt(self, support_x: Tensor, support_y: Tensor, n_way: int | None = None) -> Predictor:
        """The classifier of one task from word counts (s, v); queries are counts (q, v)."""
        n_way = n_ways(support_y) if n_way is None else n_way
        log_a = self.log_weights(support_x, support_y, n_way)
        c = prototypes(_weigh(support_x, log_a), support_y, n_way)  # (n, v)
        scale = self.log_scale.exp()
        return lambda query_x: scale * prototype_logits(_weigh(query_x, log_a), c)  # (q, n)

    def forward(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, n_way: int) -> Tensor:
        """Adapt to the support set and return the query logits (q, n_way)."""
        return self.adapt(support_x, support_y, n_way)(query_x)


def _weigh(counts: Tensor, log_a: Tensor) -> Tensor:
    """Counts times weights, scaled to length 1; a text without a known word stays zero."""
    return F.normalize(counts * log_a.exp(), dim=-1, eps=1e-6)
