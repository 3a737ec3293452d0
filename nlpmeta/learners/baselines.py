"""Learners that use the support set only, or a representation that was learned without tasks.

A meta-learner that does not beat these has learned nothing worth its cost.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.func import functional_call

from nlpmeta.episodes import Predictor, n_ways
from nlpmeta.meta import Params, adapt, prototype_logits, prototypes

Encoder = Callable[[Tensor], Tensor]


class NearestCentroid:
    """Label a query by the nearest mean of the support vectors (Rocchio, 1971).

    Parameters
    ----------
    encode : callable
        Maps examples (b, ...) to vectors (b, d), with nothing learned from the task.

    Examples
    --------
    >>> learner = NearestCentroid(lambda x: x)
    >>> predict = learner.adapt(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(self, encode: Encoder) -> None:
        self.encode = encode

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """The classifier of one task."""
        with torch.no_grad():
            c = prototypes(self.encode(support_x), support_y, n_ways(support_y))
        return torch.no_grad()(lambda query_x: prototype_logits(self.encode(query_x), c))


class LogisticRegressionLearner:
    """Multinomial logistic regression, scikit-learn's, on the encoded support set.

    Parameters
    ----------
    encode : callable
        Maps examples (b, ...) to vectors (b, d).
    strength : float
        scikit-learn's ``C``, the inverse of the L2 penalty; must be positive.

    Examples
    --------
    >>> learner = LogisticRegressionLearner(lambda x: x)
    >>> predict = learner.adapt(torch.tensor([[0.0], [4.0], [8.0]]), torch.tensor([0, 1, 2]))
    >>> predict(torch.tensor([[7.0]])).argmax(-1)
    tensor([2])
    """

    def __init__(self, encode: Encoder, strength: float = 10.0) -> None:
        if strength <= 0:
            raise ValueError(f"strength is {strength}; give a positive number")
        self.encode, self.strength = encode, strength

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """The classifier of one task; with a single class all logits are 0."""
        n_way = n_ways(support_y)
        if n_way == 1:
            return lambda query_x: torch.zeros(len(query_x), 1)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=self.strength).fit(
                self.encode(support_x).numpy(), support_y.numpy()
            )

        def predict(query_x: Tensor) -> Tensor:
            with torch.no_grad():
                logits = model.decision_function(self.encode(query_x).numpy())
            logits = torch.as_tensor(logits)
            # scikit-learn gives two classes one column: the log odds of the second
            return torch.stack([-logits, logits], -1) / 2 if n_way == 2 else logits

        return predict


class FineTune:
    """Gradient descent on the support set from fixed starting weights, of encoder and head.

    With random weights this is training from scratch, with pretrained ones it is fine-tuning.
    The head starts at zero, so that no label is preferred.

    Parameters
    ----------
    encoder : nn.Module
        Maps examples (b, ...) to vectors (b, d); it is not changed.
    d : int
        Width of those vectors.
    lr : float
        Step size.
    steps : int
        Number of steps on the whole support set.

    Examples
    --------
    >>> learner = FineTune(nn.Identity(), 1, lr=0.5, steps=50)
    >>> predict = learner.adapt(torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1]))
    >>> predict(torch.tensor([[2.0]])).argmax(-1)
    tensor([1])
    """

    def __init__(self, encoder: nn.Module, d: int, lr: float, steps: int) -> None:
        if steps < 0 or lr <= 0:
            raise ValueError(f"steps is {steps} and lr is {lr}; give steps >= 0 and lr > 0")
        self.encoder, self.d, self.lr, self.steps = encoder, d, lr, steps

    def logits(self, params: Params, x: Tensor) -> Tensor:
        """Class scores (b, n) of examples ``x`` under the given weights."""
        weights = {k: v for k, v in params.items() if k not in ("head.weight", "head.bias")}
        z = functional_call(self.encoder, weights, (x,))
        return z @ params["head.weight"].T + params["head.bias"]

    def adapt(self, support_x: Tensor, support_y: Tensor) -> Predictor:
        """The classifier of one task."""
        n_way = n_ways(support_y)
        start = {k: v.detach() for k, v in self.encoder.named_parameters()}
        start |= {"head.weight": torch.zeros(n_way, self.d), "head.bias": torch.zeros(n_way)}

        def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
            return nn.functional.cross_entropy(self.logits(params, x), y)

        params = adapt(loss, start, (support_x, support_y), self.lr, self.steps)
        return torch.no_grad()(lambda query_x: self.logits(params, query_x))
