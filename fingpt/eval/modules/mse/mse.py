"""Mean squared error as a module of the `evaluate` library; the metric itself is `fingpt.metrics.mse`."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np

from fingpt.metrics import mse


class Mse(evaluate.Metric):
    """Mean squared error in the square of the inputs' unit."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description="Mean of the squared differences.",
            citation="",
            inputs_description="predictions, references: one number each.",
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"mse": mse(np.asarray(predictions), np.asarray(references))}
