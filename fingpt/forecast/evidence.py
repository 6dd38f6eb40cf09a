"""What a run's own scores say of its forecasts: its skill in words, and how its probabilities fared. Reads the store.

The judgement is the report's (`fingpt.report.skill`), of this run alone: its adapter against every trivial forecast on
its own test rows. What a report takes from other runs (seeds, other models, whether any trivial forecast is better) is
left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingpt.errors import DataError
from fingpt.forecast.shape import Shape
from fingpt.metrics import calibration_error
from fingpt.prompts.examples import Example, decode_jsonl
from fingpt.report.baselines import baselines
from fingpt.report.clusters import Weeks
from fingpt.report.formatting import NONE, interval, listed, number, percent
from fingpt.report.headline import SKILLS
from fingpt.report.inputs import with_fits
from fingpt.report.leaks import leaks
from fingpt.report.lines import Variant
from fingpt.report.power import window_days
from fingpt.report.probabilities import BINS, calibrated
from fingpt.report.reliability import ReliabilityBin, reliability
from fingpt.report.score_arrays import ScoreArrays, read_scores
from fingpt.report.skill import ALPHA, Lead, judged, lead, questions
from fingpt.report.verdict import Verdict
from fingpt.runs.manifest import DatasetManifest, EvalManifest, decode
from fingpt.runs.run import Run, Stage, dataset_manifest_key, dataset_prefix, stage_prefix
from fingpt.storage import ObjectStore, read_verified

LEAST_ROWS = 10 * BINS
"""Below so many test rows a bin of like probabilities has a handful of them, and says nothing."""
_WORDS = {
    "direction": (100.0, 1, "points", "more often right than", "less often right than"),
    "relative": (100.0, 1, "points", "more often right than", "less often right than"),
    "size": (1.0, 2, "pp²", "less squared error than", "more squared error than"),
    "probability": (1.0, 3, "nats", "better log score than", "worse log score than"),
}
"""Question of skill → scale, digits and unit of a lead, and what it means above and below 0."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a run's forecasts before it makes another.

    `verdict`: its skill in words. `temperature`: that of its validation weeks, None without any. `system`: the system
    text that its training rows have, `shape`: the parts of their prompts. `bins`: reliability of its chance of a rise
    on its test rows, as it will be told.
    """

    verdict: str
    temperature: float | None
    system: str
    shape: Shape
    bins: tuple[ReliabilityBin, ...] = ()
    weeks: int = 0

    def calibration(self, chance: float) -> str:
        """How probabilities like this `chance` of a rise came true on the test weeks."""
        if not self.bins:
            return (
                "The run's evaluation scored no label probabilities, so nothing is known of theirs."
            )
        n = sum(one.n for one in self.bins)
        if n < LEAST_ROWS:
            return f"{n} test rows of {self.weeks} weeks are too few to say how its probabilities fare."
        counts, means, shares = (
            np.array(column, dtype=np.float64)
            for column in zip(
                *((one.n, one.forecast, one.happened.value or 0.0) for one in self.bins),
                strict=True,
            )
        )
        error = float(calibration_error(counts, means * counts, shares * counts))
        near = min(self.bins, key=lambda one: abs(one.forecast - chance))
        reach = interval(near.happened, 0, 100)
        return (
            f"On {n} test rows of {self.weeks} weeks its chances of a rise were wrong by "
            f"{number(error * 100, 1)} points on average. The {near.n} rows nearest to this one were given "
            f"{percent(near.forecast, 0)}, and {percent(near.happened.value, 0)} of them rose"
            f"{'' if reach == NONE else f' (95 % interval {reach} %)'}."
        )


def gather(store: ObjectStore, run: Run, evaluation: EvalManifest) -> Evidence:
    """Read what the evaluation of `run` left; DataError when its files do not fit together."""
    key = dataset_manifest_key(evaluation.dataset)
    data = decode(DatasetManifest, store.read(key), key)
    test, train = (_examples(store, data, split) for split in ("test", "train"))
    own = evaluation.scores["tuned"]
    scores = with_fits(_scores(store, run, evaluation), own)
    known = {example.id: example for example in test}
    if not known.keys() >= set(scores.example):
        raise DataError(
            f"Run {run.id} scored rows that are not in its data set {data.id}; run eval again."
        )
    rows = [known[name] for name in scores.example]
    weeks = Weeks.of(scores.week, window_days(rows))
    variant = Variant.of([scores], weeks)
    rivals = baselines(rows, train)
    asked = questions(variant)
    leads = [lead(question, variant, rivals, ALPHA / len(asked)) for question in asked]
    return Evidence(
        verdict=verdict(leads, leaks([data], scores).get("forecast", "")),
        temperature=own.label_temperature,
        system=_commonest_system(train),
        shape=Shape.of(example.user for example in train),
        bins=() if scores.label_logp is None else reliability(calibrated(scores)).bins,
        weeks=leads[0].gain.weeks,
    )


def verdict(leads: Sequence[Lead], why: str = "") -> str:
    """The skill in words: `leads` of one model, one for each question; `why`: a reason to say nothing of it."""
    gain = leads[0].gain
    weeks = f"{gain.weeks} week{'s' if gain.weeks != 1 else ''}"
    tested = f"On {gain.n} test rows of {weeks}, none of them trained on, this model"
    beaten: list[str] = []
    others: list[str] = []
    for its in leads:
        word, blocked = judged(its, why)
        if word is Verdict.NOT_COMPARABLE:
            return f"{tested} shows nothing about its skill: {blocked}."
        (beaten if word is Verdict.BETTER else others).append(SKILLS[its.question])
    parts = []
    if others:
        parts.append(f"did not beat the simple rules in {listed(others)}")
    if beaten:
        parts.append(f"beat every simple rule in {listed(beaten)}")
    figures = "; ".join(_told(its) for its in leads)
    return (
        f"{tested} {', but it '.join(parts)}. Against the rule that was hardest to beat: {figures}. A rule counts as "
        "beaten where the whole range, which allows for luck, is above 0; all of these ranges together are right "
        f"{percent(1 - ALPHA, 0)} of the time."
    )


def _told(its: Lead) -> str:
    """One question's figures in words: by how much the model was better or worse than the hardest rule."""
    scale, digits, unit, better, worse = _WORDS[its.question]
    value = 0.0 if its.gain.value is None else its.gain.value * scale
    way = better if value >= 0 else worse
    return (
        f"{SKILLS[its.question]}, {number(abs(value), digits)} {unit} {way} {its.rival} (range "
        f"{interval(its.gain, digits, scale, signed=True)})"
    )


def _scores(store: ObjectStore, run: Run, evaluation: EvalManifest) -> ScoreArrays:
    name = "scores.parquet"
    key = f"{stage_prefix(run.id, Stage.EVAL)}/{name}"
    arrays: Mapping[str, ScoreArrays] = read_scores(
        read_verified(store, key, _sha256(evaluation, name)), key
    )
    if "tuned" not in arrays:
        raise DataError(f"{key} holds no scores of the adapter; run eval again.")
    return arrays["tuned"]


def _examples(store: ObjectStore, data: DatasetManifest, split: str) -> list[Example]:
    name = f"{split}.jsonl"
    return decode_jsonl(
        read_verified(store, f"{dataset_prefix(data.id)}/{name}", _sha256(data, name))
    )


def _sha256(manifest: EvalManifest | DatasetManifest, name: str) -> str:
    for file in manifest.files:
        if file.name == name:
            return file.sha256
    raise DataError(f"A manifest of this run names no {name}; run its stage again.")


def _commonest_system(train: Sequence[Example]) -> str:
    """Rows may be worded in several ways; the first of the commonest, so that it does not depend on their order."""
    texts = [example.system for example in train]
    return min(set(texts), key=lambda text: (-texts.count(text), text))
