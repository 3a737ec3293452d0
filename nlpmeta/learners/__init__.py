"""Few-shot learners behind one interface: ``adapt(support_x, support_y) -> predictor``.

The predictor maps queries to logits. Nothing outside a learner knows of which kind it is:
:func:`nlpmeta.episodes.evaluate` scores them all alike. Baselines stand in
:mod:`nlpmeta.learners.baselines`, learners that learn a space in :mod:`nlpmeta.learners.metric`,
learners that learn where gradient descent starts in :mod:`nlpmeta.learners.gradient`, learners that
adapt by reading in :mod:`nlpmeta.learners.in_context`, and one that learns how to weigh words in
:mod:`nlpmeta.learners.signatures`.
"""

from nlpmeta.learners.baselines import FineTune, LogisticRegressionLearner, NearestCentroid
from nlpmeta.learners.gradient import ANIL, MAML, Classifier, MetaSGD, ProtoMAML, Reptile
from nlpmeta.learners.in_context import InContext, InContextRegressor
from nlpmeta.learners.metric import MatchingNet, ProtoNet, RelationNet, RidgeNet
from nlpmeta.learners.signatures import SignatureNet

__all__ = [
    "ANIL",
    "MAML",
    "Classifier",
    "FineTune",
    "InContext",
    "InContextRegressor",
    "LogisticRegressionLearner",
    "MatchingNet",
    "MetaSGD",
    "NearestCentroid",
    "ProtoMAML",
    "ProtoNet",
    "RelationNet",
    "Reptile",
    "RidgeNet",
    "SignatureNet",
]
