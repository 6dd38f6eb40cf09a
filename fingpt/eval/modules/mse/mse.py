"""Mean squared error, by scikit-learn."""

from __future__ import annotations

import datasets
import evaluate
from sklearn.metrics import mean_squared_error


class Mse(evaluate.Metric):
    """Mean squared error in the square of the inputs' unit."""

    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description="Mean of the squared differences.",
            citation="Pedregosa et al. (2011). Scikit-learn: machine learning in Python. JMLR 12, pages 2825-2830.",
            inputs_description="predictions, references: one number each.",
            features=datasets.Features({"predictions": number, "references": number}),
        )

    def _compute(self, predictions: list[float], references: list[float]) -> dict[str, float]:
        return {"mse": float(mean_squared_error(references, predictions))}
