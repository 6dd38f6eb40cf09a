"""What the measured numbers say about five applications, by the rules of `rules.yaml`.

A rule may answer that neither model is preferred, and most do. Pure apart from reading the packaged rules; the report
shows the facts that a rule looked at, so that a reader can check it.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np
import yaml
from pydantic import field_validator

from fingpt.leaks import Touched
from fingpt.record import Frozen
from fingpt.report.lines import Line
from fingpt.report.sides import Side
from fingpt.report.skill import Skill
from fingpt.report.verdict import Verdict

Answer = Literal["winner", "either", "neither", "not measured", "unsuitable"]
Fact = float | str | None
Facts = Mapping[str, Fact]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`fact operator value`; operators are ==, <, <=, >, >=, and `is` with the one value `missing`."""

    fact: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition; ValueError for an unknown operator."""
        fact, operator, value = text.split(maxsplit=2)
        if operator not in (*_OPERATORS, "==") and (operator, value) != ("is", "missing"):
            raise ValueError(f"'{text}' has no known operator")
        return cls(fact, operator, value)

    def holds(self, known: Facts) -> bool:
        """Whether it holds; a missing fact fulfils only `is missing`."""
        fact = known.get(self.fact)
        if self.operator == "is":
            return fact is None
        if self.operator == "==":
            return fact is not None and str(fact) == self.value
        compare = _OPERATORS[self.operator]
        return isinstance(fact, int | float) and compare(float(fact), float(self.value))


class Rule(Frozen):
    """Conditions that must all hold, the answer they give, and its reason (with `{winner}` and `{leak}`)."""

    when: tuple[str, ...]
    answer: Answer
    because: str

    @field_validator("when")
    @classmethod
    def _can_be_read(cls, when: tuple[str, ...]) -> tuple[str, ...]:
        for condition in when:
            Condition.parse(condition)
        return when


class Application(Frozen):
    """An application, the evidence it would take to choose a model for it, the facts shown, and its rules in order."""

    key: str
    title: str
    evidence: str
    facts: tuple[str, ...]
    rules: tuple[Rule, ...]


class Rules(Frozen):
    """The rule file; `version` is printed with every piece of guidance."""

    version: int
    applications: tuple[Application, ...]


class Guidance(Frozen):
    """What the rules say about one application: the answer, the reason, and the inputs; `choice` names the model."""

    application: str
    title: str
    evidence: str
    answer: Answer
    choice: str
    because: str
    fired: int
    conditions: tuple[str, ...]
    inputs: dict[str, Fact]


def load_rules() -> Rules:
    """The packaged rules; ValueError for a condition that cannot be read."""
    text = (files("fingpt.report") / "rules.yaml").read_text(encoding="utf-8")
    return Rules.model_validate(yaml.safe_load(text))


def facts(sides: Sequence[Side], lines: Sequence[Line], skills: Sequence[Skill]) -> dict[str, Fact]:
    """The numbers that rules may name; none depends on the order of the models.

    `models.`: count, tiny (yes, no: any of them), skilled (how many beat every trivial forecast of size), judged (for
    how many that could be said), fastest_seconds (per answer), most_read (share of answers, of the best), train_gap
    (longest over shortest training − 1; missing where there is nothing to compare). `size.winner`: the one model that
    is better in squared error than each other; `size.winner_skilled` (yes, no). `size.compared` (yes, no: any two of
    the models). `leak.spoils_forecast` (yes, no);
    `leak.forecast`, `leak.text`: the leak that spoils it. Then per model, as `mse of <title>` and so on, to be shown.
    """
    skilled = {its.model: its.verdict for its in skills if its.question == "size"}
    winner = _winner(sides, lines)
    blocked: dict[Touched, str] = {}
    for side in sides:
        blocked |= side.leaks()
    speeds = [side.scores.samples_per_second for side in sides]
    found: dict[str, Fact] = {
        "models.count": float(len(sides)),
        "models.tiny": "yes" if any(side.model.tiny for side in sides) else "no",
        "models.skilled": float(sum(v is Verdict.BETTER for v in skilled.values())),
        "models.judged": float(sum(v is not Verdict.NOT_COMPARABLE for v in skilled.values())),
        "models.fastest_seconds": 1 / max(speeds) if any(speeds) else None,
        "models.most_read": max(_read(side) for side in sides),
        "models.train_gap": _train_gap(lines),
        "size.winner": winner,
        "size.winner_skilled": "yes" if skilled.get(winner or "") is Verdict.BETTER else "no",
        "size.compared": "yes" if _compared(lines) else "no",
        "leak.spoils_forecast": "yes" if "forecast" in blocked else "no",
        "leak.forecast": blocked.get("forecast"),
        "leak.text": blocked.get("text"),
    }
    values = {line.key: line.values for line in lines}
    for index, side in enumerate(sides):
        for name, key in SHOWN_LINES.items():
            found[f"{name} of {side.title}"] = values[key][index].value if key in values else None
        found[f"mean new tokens of {side.title}"] = float(np.nanmean(side.tuned.new_tokens))
        found[f"trainable parameters of {side.title}"] = float(side.adapter.trainable_parameters)
    return found


SHOWN_LINES = {
    "MSE": "mse",
    "share read": "parsed",
    "analysis ROUGE-1": "analysis_rouge1",
    "tokens per second": "tokens_per_second",
    "answers per second": "samples_per_second",
    "training seconds": "train_seconds",
}
"""Facts that a rule shows of each model → the line that they are taken from."""


def _read(side: Side) -> float:
    asked = float(side.tuned.asked.sum())
    return float(side.tuned.valid.sum()) / asked if asked else 0.0


def _winner(sides: Sequence[Side], lines: Sequence[Line]) -> str | None:
    """The model that is better than each other in squared error, over all answers or over those that both gave."""
    ahead: Counter[int] = Counter()
    known = {line.key: line for line in lines}
    for whole, both in zip(known["mse"].comparisons, known["mse_read"].comparisons, strict=True):
        its = both if whole.verdict is Verdict.NOT_COMPARABLE else whole
        if its.verdict.decisive:
            ahead[its.second if its.verdict is Verdict.BETTER else its.first] += 1
    best = [place for place, wins in ahead.items() if wins == len(sides) - 1]
    return sides[best[0]].title if best else None


def _compared(lines: Sequence[Line]) -> bool:
    """Whether any two models were compared in squared error."""
    return any(
        comparison.verdict is not Verdict.NOT_COMPARABLE
        for line in lines
        if line.key in ("mse", "mse_read")
        for comparison in line.comparisons
    )


def _train_gap(lines: Sequence[Line]) -> float | None:
    """How much longer the longest training took, of the steps where timed; None where no two can be compared."""
    timed = {line.key: line for line in lines if line.key in ("step_seconds", "train_seconds")}
    line = timed.get("step_seconds") or timed["train_seconds"]
    seconds = [estimate.value or 0.0 for estimate in line.values]
    if len(seconds) < 2 or min(seconds) <= 0:
        return None
    if any(comparison.difference is None for comparison in line.comparisons):
        return None
    return max(seconds) / min(seconds) - 1


def advise(rules: Rules, known: Facts) -> tuple[Guidance, ...]:
    """Apply the rules to the facts."""
    return tuple(_advise(application, known) for application in rules.applications)


def _advise(application: Application, known: Facts) -> Guidance:
    number, rule = next(
        (number, rule)
        for number, rule in enumerate(application.rules, start=1)
        if all(Condition.parse(text).holds(known) for text in rule.when)
    )
    winner, leak = (str(known.get(name) or "") for name in ("size.winner", "leak.forecast"))
    shown: dict[str, Fact] = {
        name: fact
        for name, fact in known.items()
        if fact is not None and name.split(" of ")[0] in application.facts
    }
    return Guidance(
        application=application.key,
        title=application.title,
        evidence=application.evidence,
        answer=rule.answer,
        choice=winner if rule.answer == "winner" else "",
        because=rule.because.format(winner=winner, leak=leak),
        fired=number,
        conditions=rule.when,
        inputs=shown,
    )
