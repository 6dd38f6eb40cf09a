"""Share of equal integer codes, by scikit-learn."""

from __future__ import annotations

import datasets
import evaluate
from sklearn.metrics import accuracy_score


class Accuracy(evaluate.Metric):
    """Accuracy, 0 to 1."""

    def _info(self) -> evaluate.MetricInfo:
        code = datasets.Value("int32")
        return evaluate.MetricInfo(
            description="Share of predictions equal to their references.",
            citation="Pedregosa et al. (2011). Scikit-learn: machine learning in Python. JMLR 12, pages 2825-2830.",
            inputs_description="predictions, references: one integer each.",
            features=datasets.Features({"predictions": code, "references": code}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}
