"""The metric modules in `modules/`, called through the `evaluate` library without a hub or a network.

Numbers in, numbers out. Which rows count and what a failed parse means is decided in `fingpt.eval.score`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import cast

from fingpt.metrics import mean
from fingpt.runs.manifest import RougeScores

MODULES = Path(__file__).parent / "modules"


ROUGE_WORDS = 2000
"""So many words of a text ROUGE looks at: the time of ROUGE-L grows with the product of both lengths."""

_WORD = re.compile(r"[a-z0-9]+")  # rouge_score's own tokens


class MetricModules:
    """Accuracy, MSE and ROUGE, with `folder` as their only working place on disk; ROUGE of a pair is computed once.

    `shortened` counts the texts of which ROUGE saw the first ROUGE_WORDS words only.
    """

    def __init__(self, folder: Path) -> None:
        # With `evaluate` come torch and transformers: answers that cannot be scored are refused before that.
        from fingpt.eval.modules.accuracy.accuracy import Accuracy
        from fingpt.eval.modules.mse.mse import Mse
        from fingpt.eval.modules.rouge.rouge import Rouge

        place = str(folder)
        self._accuracy = Accuracy(cache_dir=place, keep_in_memory=True, seed=0)
        self._mse = Mse(cache_dir=place, keep_in_memory=True, seed=0)
        self._rouge = Rouge(cache_dir=place, keep_in_memory=True, seed=0)
        self._known: dict[tuple[str, str], RougeScores] = {}
        self.shortened = 0

    def accuracy(self, *, predicted: Sequence[int], truth: Sequence[int]) -> float | None:
        """Share of equal direction codes; None without rows."""
        if not truth:
            return None
        result = self._accuracy.compute(predictions=list(predicted), references=list(truth))
        return cast("float", result["accuracy"])

    def mse(self, *, predicted: Sequence[float], truth: Sequence[float]) -> float | None:
        """Mean squared error in squared percentage points; None without rows."""
        if not truth:
            return None
        result = self._mse.compute(predictions=list(predicted), references=list(truth))
        return cast("float", result["mse"])

    def rouge(self, *, predictions: Sequence[str], references: Sequence[str]) -> list[RougeScores]:
        """ROUGE F-measures of each pair; outer blanks do not matter."""
        pairs = [(p.strip(), r.strip()) for p, r in zip(predictions, references, strict=True)]
        new = list(dict.fromkeys(pair for pair in pairs if pair not in self._known))
        if new:
            cut = [(first_words(p), first_words(r)) for p, r in new]
            self.shortened += sum(
                short != text
                for before, after in zip(new, cut, strict=True)
                for text, short in zip(before, after, strict=True)
            )
            result = self._rouge.compute(
                predictions=[p for p, _ in cut], references=[r for _, r in cut]
            )
            columns = (result["rouge1"], result["rouge2"], result["rougeL"])
            for pair, (one, two, longest) in zip(new, zip(*columns, strict=True), strict=True):
                self._known[pair] = RougeScores(rouge1=one, rouge2=two, rougeL=longest)
        return [self._known[pair] for pair in pairs]

    def shortened_sentence(self) -> str:
        """What `shortened` means, for people."""
        return f"{self.shortened} texts have more than {ROUGE_WORDS} words; ROUGE compares their first {ROUGE_WORDS}."


def first_words(text: str, words: int = ROUGE_WORDS) -> str:
    """`text` itself, or as much of it, in lower case as ROUGE reads it, as has `words` words."""
    lowered = text.lower()
    ends = [match.end() for match in islice(_WORD.finditer(lowered), words + 1)]
    return text if len(ends) <= words else lowered[: ends[words - 1]]


def mean_rouge(rows: Sequence[RougeScores]) -> RougeScores:
    """Arithmetic mean over pairs (not the bootstrap middle that rouge_score's own aggregator gives)."""
    n = len(rows)
    return RougeScores(
        rouge1=mean(sum(row.rouge1 for row in rows), n),
        rouge2=mean(sum(row.rouge2 for row in rows), n),
        rougeL=mean(sum(row.rougeL for row in rows), n),
    )
