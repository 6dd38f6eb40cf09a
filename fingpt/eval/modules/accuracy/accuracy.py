"""Binary accuracy as a module of the `evaluate` library; the metric itself is `fingpt.metrics.accuracy`."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from fingpt.metrics import accuracy


class Accuracy(evaluate.Metric):
    """Accuracy, 0 to 1."""

    def _info(self) -> evaluate.MetricInfo:
        code = datasets.Value("int32")
        return evaluate.MetricInfo(
            description="Share of direction codes equal to their references.",
            citation="",
            inputs_description="predictions, references: one integer each.",
            features=datasets.Features({"predictions": code, "references": code}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {
            "accuracy": accuracy(
                np.asarray(predictions, np.float64), np.asarray(references, np.float64)
            )
        }
