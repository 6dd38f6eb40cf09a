"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) per pair, by the rouge_score package with stemming; no aggregation."""

from __future__ import annotations

import datasets
import evaluate
from rouge_score.rouge_scorer import RougeScorer

_KINDS = ("rouge1", "rouge2", "rougeL")
_CITATION = "Lin, C.-Y. (2004). ROUGE: a package for automatic evaluation of summaries. ACL workshop, pages 74-81."


class Rouge(evaluate.Metric):
    """F-measures, 0 to 1; ROUGE-L is the sentence-level longest common subsequence."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="ROUGE-1, ROUGE-2 and ROUGE-L F-measures per pair.",
            citation=_CITATION,
            inputs_description="predictions, references: one text each.",
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, list[float]]:
        scorer = RougeScorer(list(_KINDS), use_stemmer=True)
        rows = [
            scorer.score(target, text) for text, target in zip(predictions, references, strict=True)
        ]
        return {kind: [float(row[kind].fmeasure) for row in rows] for kind in _KINDS}
