"""What the leaks of a data set forbid to be said, as far as a report goes. Pure.

The linter finds leaks (fingpt/prep/lint) and fingpt/leaks.py says what each touches. A report goes by effect as well:
whatever the severity of a finding, a canary that alone forecasts better than chance is a leak.
"""

from __future__ import annotations

from collections.abc import Sequence

from fingpt.leaks import BOTH, FAULTS, FORECAST, Touched
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.stats import wilson
from fingpt.runs.manifest import DatasetManifest, Finding

LEAK = "leak"


def leaks(datasets: Sequence[DatasetManifest], scores: ScoreArrays) -> dict[Touched, str]:
    """What is spoilt → the first reason, as a verdict prints it; `scores` tells the commoner direction's share."""
    found: dict[Touched, str] = {}
    if any(dataset.leaky for dataset in datasets):
        found |= dict.fromkeys(BOTH, f"{LEAK} (random split)")
    for finding in (finding for dataset in datasets for finding in dataset.findings):
        for touched in _spoilt(finding, scores):
            found.setdefault(touched, f"{LEAK} ({finding.rule})")
    return found


def _spoilt(finding: Finding, scores: ScoreArrays) -> tuple[Touched, ...]:
    if finding.severity == "error":
        return finding.touches or BOTH
    return (finding.touches or FORECAST) if above_chance(finding, scores) else ()


def above_chance(finding: Finding, scores: ScoreArrays) -> bool:
    """Whether a canary alone is right more often than the commoner direction is, its interval taken into account."""
    fault = FAULTS.get(finding.rule)
    if finding.score is None or not finding.count or not scores.n or not (fault and fault.canary):
        return False
    up = float((scores.truth > 0).mean())
    interval = wilson(round(finding.score * finding.count), finding.count)
    return interval is not None and interval[0] > max(up, 1 - up)
