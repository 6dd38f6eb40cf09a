"""What the measured numbers say about five applications, by the rules of `rules.yaml`.

A rule may answer that neither model is preferred, and most do. Pure apart from reading the packaged rules; the report
shows the facts that a rule looked at, so that a reader can check it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np
import yaml
from pydantic import field_validator

from fingpt.record import Frozen
from fingpt.report.baselines import Skill
from fingpt.report.lines import Line
from fingpt.report.sides import Side
from fingpt.report.table import ACCURACY, MSE, PARSED, ROUGE
from fingpt.report.verdict import COMPARISONS, Verdict

Answer = Literal["first", "second", "either", "neither", "not measured", "unsuitable"]
Fact = float | str | None
Facts = Mapping[str, Fact]

_ANALYSIS_ROUGE = next(metric for metric in ROUGE if metric.key == "analysis_rouge1")
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
        """Read a condition; ValueError for an unknown operator, or a verdict on a pair that there is not."""
        fact, operator, value = text.split(maxsplit=2)
        if operator not in (*_OPERATORS, "==") and (operator, value) != ("is", "missing"):
            raise ValueError(f"'{text}' has no known operator")
        if fact.startswith("pair.") and operator == "==" and value not in COMPARISONS:
            raise ValueError(f"'{text}' names no verdict; there are {', '.join(COMPARISONS)}")
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
    """Conditions that must all hold, the answer they give, and its reason (with `{first}` and `{second}`)."""

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
    """The numbers that rules may name, of the first two sides.

    `first.` and `second.`: mse, accuracy (shares), mse_skill, mse_skill_low, accuracy_gain_low, seconds_per_answer,
    new_tokens (mean per answer), tokens_per_second, parsed (share), analysis_rouge1, train_seconds,
    trainable_parameters, tiny (yes, no). `pair.`: a verdict word per metric (missing where the two cannot be compared)
    and train_gap, the relative difference in training time.
    """
    found: dict[str, Fact] = {}
    skill_of = {skill.model: skill for skill in skills}
    for who, side in zip(("first", "second"), sides, strict=False):
        for name, value in _of_side(side, skill_of.get(side.title)).items():
            found[f"{who}.{name}"] = value
    if len(sides) > 1:
        for line in lines:
            verdict = line.comparisons[0].verdict
            found[f"pair.{line.key}"] = None if verdict is Verdict.NOT_COMPARABLE else verdict
        found["pair.train_gap"] = _train_gap(lines)
    return found


def _of_side(side: Side, skill: Skill | None) -> dict[str, Fact]:
    speed = side.scores.samples_per_second
    return {
        "mse": MSE.of(side.tuned).value,
        "accuracy": ACCURACY.of(side.tuned).value,
        "mse_skill": skill.mse_skill.value if skill else None,
        "mse_skill_low": skill.mse_skill.low if skill else None,
        "accuracy_gain_low": skill.accuracy_gain.low if skill else None,
        "seconds_per_answer": 1 / speed if speed else None,
        "new_tokens": float(np.mean(side.tuned.new_tokens)),
        "tokens_per_second": side.scores.tokens_per_second,
        "parsed": PARSED.of(side.tuned).value,
        "analysis_rouge1": _ANALYSIS_ROUGE.of(side.tuned).value,
        "train_seconds": side.train_seconds,
        "trainable_parameters": float(side.adapter.trainable_parameters),
        "tiny": "yes" if side.model.tiny else "no",
    }


def _train_gap(lines: Sequence[Line]) -> float | None:
    """Relative difference in training time, of the optimizer steps where timed; None where it cannot be compared."""
    timed = {line.key: line for line in lines if line.key in ("step_seconds", "train_seconds")}
    line = timed.get("step_seconds") or timed["train_seconds"]
    first, second = line.values[0].value, line.values[1].value
    if line.comparisons[0].difference is None or not first or second is None:
        return None
    return abs(second / first - 1)


def advise(rules: Rules, known: Facts, first: str, second: str) -> tuple[Guidance, ...]:
    """Apply the rules to the facts; `first` and `second` are the models' titles."""
    return tuple(_advise(application, known, first, second) for application in rules.applications)


def _advise(application: Application, known: Facts, first: str, second: str) -> Guidance:
    number, rule = next(
        (number, rule)
        for number, rule in enumerate(application.rules, start=1)
        if all(Condition.parse(text).holds(known) for text in rule.when)
    )
    chosen = {"first": first, "second": second}.get(rule.answer, "")
    return Guidance(
        application=application.key,
        title=application.title,
        evidence=application.evidence,
        answer=rule.answer,
        choice=chosen,
        because=rule.because.format(first=first, second=second),
        fired=number,
        conditions=rule.when,
        inputs={name: known[name] for name in application.facts if known.get(name) is not None},
    )
