"""Reads finished runs from the store into sides, every byte checked against a manifest's hash.

Which runs may be read is `chosen`'s; what a run holds is decided by its manifests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from fingpt.errors import DataError
from fingpt.metrics import anchored
from fingpt.models import spec
from fingpt.prompts.examples import Example, decode_jsonl
from fingpt.reading import LINE_BYTES, parse_object
from fingpt.record import FileRef, sha256_bytes
from fingpt.report.arms import aligned
from fingpt.report.chosen import finished_runs
from fingpt.report.members import pooled
from fingpt.report.score_arrays import ScoreArrays, read_scores
from fingpt.report.sides import Side, Step
from fingpt.report.titles import titled
from fingpt.runs.family import families
from fingpt.runs.manifest import (
    DatasetManifest,
    EvalManifest,
    TrainManifest,
    VariantScores,
    decode,
)
from fingpt.runs.openings import count
from fingpt.runs.run import (
    Run,
    Stage,
    complete_key,
    dataset_manifest_key,
    dataset_prefix,
    run_key,
    stage_prefix,
)
from fingpt.storage import ObjectStore, read_verified

M = TypeVar("M", TrainManifest, EvalManifest, DatasetManifest)


@dataclass
class Reading:
    """What was read: the sides in order, the first side's examples, and key → sha256 of every manifest.

    `openings`: how many runs opened the first side's test rows.
    """

    sides: list[Side] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    train: list[Example] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    openings: int = 0


def read_runs(store: ObjectStore, run_ids: Sequence[str]) -> Reading:
    """Read the named runs, those of one family as one side; in the order in which families are named.

    Errors are those of `chosen.finished_runs`.
    """
    reading = Reading()
    grouped = families(finished_runs(store, run_ids))
    for runs in grouped.values():
        title = spec(runs[0].config.model).title
        reading.sides.append(pooled([_side(store, run, title, reading) for run in runs], runs))
    tests = _tests(store, reading.sides)
    reading.test.extend(tests[0])
    _check_examples(reading)
    reading.sides = aligned(titled(reading.sides, [*grouped.values()], tests), tests)
    first = reading.sides[0]
    for number, data in enumerate(first.every_dataset):
        # Of a walk-forward the first origin's training rows: what was known before any of its tests.
        if not number:
            reading.train.extend(_rows(store, data, "train"))
        reading.openings += count(store, data.id)
    return reading


def _tests(store: ObjectStore, sides: Sequence[Side]) -> list[list[Example]]:
    """The test rows of each side, read once for each data set."""
    rows: dict[str, list[Example]] = {}
    for side in sides:
        for data in side.every_dataset:
            if data.id not in rows:
                rows[data.id] = _rows(store, data, "test")
    return [[row for data in side.every_dataset for row in rows[data.id]] for side in sides]


def _rows(store: ObjectStore, data: DatasetManifest, split: str) -> list[Example]:
    ref = _file(data.files, f"{split}.jsonl", data.id)
    key = f"{dataset_prefix(data.id)}/{ref.name}"
    return list(decode_jsonl(read_verified(store, key, ref.sha256)))


def _side(store: ObjectStore, run: Run, title: str, reading: Reading) -> Side:
    reading.inputs[run_key(run.id)] = sha256_bytes(store.read(run_key(run.id)))
    adapter = _manifest(store, TrainManifest, complete_key(run.id, Stage.TRAIN), reading)
    evaluation = _manifest(store, EvalManifest, complete_key(run.id, Stage.EVAL), reading)
    data = _manifest(store, DatasetManifest, dataset_manifest_key(evaluation.dataset), reading)
    if adapter.dataset != evaluation.dataset:
        raise DataError(
            f"Run {run.id} was trained on data set {adapter.dataset} but evaluated on {evaluation.dataset}; "
            "run it again."
        )
    scores_ref = _file(evaluation.files, "scores.parquet", run.id)
    scores_key = f"{stage_prefix(run.id, Stage.EVAL)}/{scores_ref.name}"
    curve_ref = _file(adapter.files, "metrics.jsonl", run.id)
    curve_key = f"{stage_prefix(run.id, Stage.TRAIN)}/{curve_ref.name}"
    arrays = read_scores(read_verified(store, scores_key, scores_ref.sha256), scores_key)
    if set(arrays) != set(evaluation.scores) or "tuned" not in arrays:
        raise DataError(
            f"{scores_key} does not hold the variants that its manifest names; run eval again."
        )
    arrays = {name: with_fits(one, evaluation.scores[name]) for name, one in arrays.items()}
    return Side(
        runs=(run.id,),
        title=title,
        model=spec(run.config.model),
        seed=run.config.seed,
        compare=run.config.compare,
        dataset=data,
        adapter=adapter,
        evaluation=evaluation,
        arrays=arrays,
        curve=read_curve(read_verified(store, curve_key, curve_ref.sha256), curve_key),
    )


def with_fits(scores: ScoreArrays, own: VariantScores) -> ScoreArrays:
    """The scores with what eval fitted on validation rows."""
    if scores.label_logp is None or own.label_temperature is None:
        return scores
    found = replace(scores, calibrated_logp=scores.label_logp / own.label_temperature)
    if own.label_prior and own.label_shares and own.label_anchor_temperature is not None:
        shares, prior = np.array(own.label_shares), np.array(own.label_prior)
        logp = anchored(scores.label_logp, shares, own.label_anchor_temperature, prior)
        found = replace(found, anchored_logp=logp)
    return found


def read_curve(data: bytes, where: str) -> tuple[Step, ...]:
    """The loss curve of a `metrics.jsonl`: one step per line, the last line of a step wins, in order of steps."""
    steps: dict[int, Step] = {}
    for number, text in enumerate(data.splitlines(), start=1):
        try:
            line = parse_object(text, LINE_BYTES)
            step = Step(int(line["step"]), _float(line.get("loss")), _float(line.get("eval_loss")))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                f"{where}, line {number}, is no training step; run train again."
            ) from None
        steps[step.step] = step
    return tuple(steps[step] for step in sorted(steps))


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _manifest(store: ObjectStore, kind: type[M], key: str, reading: Reading) -> M:
    data = store.read(key)
    reading.inputs[key] = sha256_bytes(data)
    return decode(kind, data, key)


def _file(files: Sequence[FileRef], name: str, owner: str) -> FileRef:
    for file in files:
        if file.name == name:
            return file
    raise DataError(f"The manifest of {owner} names no {name}; run the stage again.")


def _check_examples(reading: Reading) -> None:
    known = {example.id for example in reading.test}
    first = reading.sides[0]
    if not known.issuperset(first.tuned.example):
        raise DataError(
            f"Run {first.runs[0]} scored rows that are not in its data set {first.dataset.id}; run eval again."
        )
