"""The test rows one by one, for people to read: what was asked, what each model answered, and what happened.

Answers come from the chunks that eval stored, by the hashes of its manifest; how an answer was read comes from
`ScoreArrays`. Pages of it are `rows_page`'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fingpt.errors import DataError
from fingpt.metrics import Floats
from fingpt.prompts.examples import Example
from fingpt.reading import DATA_BYTES, LINE_BYTES, parse_object
from fingpt.report.chosen import Texts
from fingpt.report.compose import bin_label, forecast_label
from fingpt.report.document import NOT_READ
from fingpt.report.probabilities import probability_up
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Side
from fingpt.runs.manifest import EvalManifest, decode
from fingpt.runs.run import Stage, complete_key, stage_prefix
from fingpt.storage import ObjectStore, read_verified

_ANSWERS = re.compile(r"predictions/(base|tuned)/[^/]+(?<!\.timing)\.jsonl")
_NEWS = re.compile(r"^\[(Headline|Summary)\]:.*$", flags=re.MULTILINE)
NOT_ASKED = "not asked"
"""The forecast of a row that a model does not have, or for which no answer in prose was asked."""
_LEFT_OUT = "[news left out]"


@dataclass(frozen=True)
class Forecasted:
    """What one model forecast for one row. `up`: its probability of a rise, where label probabilities were measured.

    `right` is None where no direction was read; `error` is the absolute difference of forecast and realised bin
    midpoints in percentage points, an unread answer counted as a forecast of 0.
    """

    label: str
    right: bool | None
    error: float
    up: float | None
    answer: str
    base_answer: str

    @property
    def direction(self) -> str:
        """How its direction turned out: `right`, `wrong`, `not read` or `not asked`."""
        if self.label == NOT_ASKED:
            return NOT_ASKED
        return NOT_READ if self.right is None else "right" if self.right else "wrong"


@dataclass(frozen=True)
class RowEntry:
    """One test row. `week`: first day of the forecast week, ISO; `happened`: the realised label."""

    symbol: str
    week: str
    happened: str
    prompt: str
    reference: str
    models: tuple[Forecasted, ...]

    @property
    def outcome(self) -> str:
        """Which models were right: one character per model, `1` right, `0` wrong, `-` unread, `.` not asked."""
        marks = {"right": "1", "wrong": "0", NOT_READ: "-", NOT_ASKED: "."}
        return "".join(marks[model.direction] for model in self.models)


Answers = Mapping[str, Mapping[str, str]]
"""Variant → example id → the text that the model wrote."""


def read_answers(
    store: ObjectStore, side: Side, inputs: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Every stored answer of a side's runs, the first seed's where there are several; DataError for anything else.

    `inputs`: key → sha256 of the manifests that the report rests on.
    """
    found: dict[str, dict[str, str]] = {"base": {}, "tuned": {}}
    for run in side.runs:
        key = complete_key(run, Stage.EVAL)
        manifest = decode(EvalManifest, read_verified(store, key, inputs[key]), key)
        _collect(store, run, manifest, found)
    return {
        variant: {side.aliases.get(name, name): text for name, text in texts.items()}
        for variant, texts in found.items()
    }


def _collect(
    store: ObjectStore, run: str, manifest: EvalManifest, found: dict[str, dict[str, str]]
) -> None:
    for file in manifest.files:
        match = _ANSWERS.fullmatch(file.name)
        if match is None:
            continue
        key = f"{stage_prefix(run, Stage.EVAL)}/{file.name}"
        for line in read_verified(store, key, file.sha256, limit=DATA_BYTES).splitlines()[1:]:
            try:
                answer = parse_object(line, LINE_BYTES)
                found[match[1]].setdefault(str(answer["example"]), str(answer["prediction"]))
            except (ValueError, KeyError):
                raise DataError(
                    f"{key} holds a line that is no answer; evaluate run {run} again."
                ) from None


def row_entries(
    sides: Sequence[Side], answers: Sequence[Answers], test: Sequence[Example], texts: Texts
) -> tuple[RowEntry, ...]:
    """One entry per test row of the first side, ordered by week and symbol; other sides where they have that row.

    `answers` are the sides' own, in their order. Sides that were asked other rows show no forecast for those they lack.
    """
    known = {example.id: example for example in test}
    places = [{name: i for i, name in enumerate(side.tuned.example)} for side in sides]
    rises = [
        None if side.tuned.label_logp is None else probability_up(side.tuned) for side in sides
    ]
    entries = []
    for name in sides[0].tuned.example:
        example = known[name]
        models = tuple(
            _forecast(side.tuned, place.get(name), rise, its, name, texts)
            for side, place, rise, its in zip(sides, places, rises, answers, strict=True)
        )
        entries.append(
            RowEntry(
                symbol=example.symbol,
                week=example.start.isoformat(),
                happened=bin_label(example.margin),
                prompt=_shown_prompt(example.user, texts),
                reference="" if texts is Texts.NONE else example.answer,
                models=models,
            )
        )
    return tuple(sorted(entries, key=lambda entry: (entry.week, entry.symbol)))


def _forecast(
    scores: ScoreArrays,
    place: int | None,
    rise: Floats | None,
    answers: Answers,
    name: str,
    texts: Texts,
) -> Forecasted:
    if place is None:
        return Forecasted(NOT_ASKED, None, math.nan, None, "", "")
    up = None if rise is None else float(rise[place])
    if not scores.asked[place]:
        return Forecasted(NOT_ASKED, None, math.nan, up, "", "")
    direction, margin = float(scores.direction[place]), float(scores.margin[place])
    shown = texts is not Texts.NONE
    return Forecasted(
        label=forecast_label(direction, margin),
        right=bool(scores.correct[place]) if scores.valid[place] else None,
        error=math.sqrt(float(scores.squared_error[place])),
        up=up,
        answer=answers["tuned"].get(name, "") if shown else "",
        base_answer=answers["base"].get(name, "") if shown else "",
    )


def _shown_prompt(prompt: str, texts: Texts) -> str:
    if texts is Texts.NONE:
        return ""
    if texts is Texts.ALL:
        return prompt
    shorter = _NEWS.sub(_LEFT_OUT, prompt)
    return re.sub(rf"(?:{re.escape(_LEFT_OUT)}\s*)+", f"{_LEFT_OUT}\n", shorter)
