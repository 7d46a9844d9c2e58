"""Every metric of a data set at once, from the same views and marts that a build publishes.

METRICS.md beside the marts defines each name: formula, denominator, censoring, source.
"""

from transforms.metrics.evaluation import evaluate

__all__ = ["evaluate"]
