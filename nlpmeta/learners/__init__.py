"""Few-shot learners behind one interface: ``adapt(support_x, support_y) -> predictor``.

The predictor maps queries to logits. Nothing outside a learner knows of which kind it is:
:func:`nlpmeta.episodes.evaluate` scores them all alike. Baselines stand in
:mod:`nlpmeta.learners.baselines`, learners that learn a space in :mod:`nlpmeta.learners.metric`.
"""

from nlpmeta.learners.baselines import FineTune, LogisticRegressionLearner, NearestCentroid
from nlpmeta.learners.metric import ProtoNet

__all__ = ["FineTune", "LogisticRegressionLearner", "NearestCentroid", "ProtoNet"]
