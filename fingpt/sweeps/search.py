"""The proposals of a Bayesian search: Optuna's tree-structured Parzen estimator, asked anew for every trial.

Each proposal comes from a fresh study in memory, filled from what is known and seeded by the trial's number, so it is
a pure function of its arguments: no state of a sampler has to outlive the process. Optuna is imported when it is
called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fingpt.record import canonical_json, sha256_bytes
from fingpt.sweeps.definition import Settings, SweepDefinition
from fingpt.sweeps.keys import is_integer
from fingpt.sweeps.space import every_point, finite_size, said

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

STARTUP_TRIALS = 10
"""Trials that are drawn at random before any is proposed, or a quarter of all where that is less."""

_TRIES = 200


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier trial as the sampler sees it; `running` is one of which nothing may be known yet.

    `value` of a complete one, and `rungs` (rung → value) of one that is paused or pruned, in nats; lower is better.
    """

    settings: Settings
    state: Literal["running", "complete", "pruned", "failed"] = "running"
    value: float | None = None
    rungs: Mapping[int, float] = field(default_factory=dict)


def propose(definition: SweepDefinition, past: Sequence[Past]) -> Settings | None:
    """Settings of the trial that follows `past`, other than all of theirs; None when the space has no more points.

    Running trials count as bad ones (constant liar), so that those proposed at the same time differ. Where the sampler
    keeps to points that were asked before, one is drawn at random.
    """
    known = [each.settings for each in past]
    size = finite_size(definition.space)
    if size is not None and size <= len(known):
        return None
    for settings in _candidates(definition, past):
        if settings not in known:
            return settings
    if size is None:
        return None
    return next((point for point in every_point(definition.space) if point not in known), None)


def is_in_space(definition: SweepDefinition, settings: Settings) -> bool:
    """Whether `settings` are a point of the space."""
    try:
        _parameters(definition, settings)
    except ValueError:
        return False
    return set(settings) == {key for parameter in definition.space for key in parameter.keys}


def _candidates(definition: SweepDefinition, past: Sequence[Past]) -> Iterator[Settings]:
    """The sampler's proposals, each by a seed of its own, then random ones."""
    import optuna

    # Optuna writes a line to stderr for every study; ours says what was asked.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    startup = min(STARTUP_TRIALS, max(definition.count // 4, 1))
    for attempt in range(_TRIES):
        text = canonical_json([definition.seed, len(past), attempt])
        seed = int(sha256_bytes(text)[:8], 16)
        sampler = optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=startup if attempt < _TRIES // 20 else len(past) + 1,
            multivariate=True,
            constant_liar=True,
        )
        study = optuna.create_study(direction="minimize", sampler=sampler)
        _fill(study, definition, past)
        trial = study.ask(_distributions(definition))
        yield _settings(definition, trial.params)


def _fill(study: Study, definition: SweepDefinition, past: Sequence[Past]) -> None:
    from optuna.trial import TrialState, create_trial

    states = {
        "running": TrialState.RUNNING,
        "complete": TrialState.COMPLETE,
        "pruned": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }
    distributions = _distributions(definition)
    for each in past:
        study.add_trial(
            create_trial(
                state=states[each.state],
                value=each.value if each.state == "complete" else None,
                params=_parameters(definition, each.settings),
                distributions=distributions,
                intermediate_values=dict(each.rungs),
            )
        )


def _distributions(definition: SweepDefinition) -> dict[str, BaseDistribution]:
    """One distribution for each parameter; choices, which may be of several settings, go by their index."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, BaseDistribution] = {}
    for parameter in definition.space:
        span, name = parameter.range, parameter.name
        if span is None:
            found[name] = CategoricalDistribution(range(len(parameter.choices)))
        elif is_integer(name):
            found[name] = IntDistribution(int(span.low), int(span.high), log=span.log)
        else:
            found[name] = FloatDistribution(span.low, span.high, log=span.log)
    return found


def _parameters(definition: SweepDefinition, settings: Settings) -> dict[str, float | int]:
    """The sampler's parameters of `settings`; ValueError when they are no point of the space."""
    found: dict[str, float | int] = {}
    for parameter in definition.space:
        part = {key: settings.get(key) for key in parameter.keys}
        if parameter.range is None:
            found[parameter.name] = parameter.choices.index(part)
            continue
        value = part[parameter.name]
        number = float(value) if isinstance(value, float | int) else math.nan
        if not parameter.range.low <= number <= parameter.range.high:
            raise ValueError(f"{parameter.name} is {value!r}, which is outside of its range")
        if is_integer(parameter.name) and not number.is_integer():
            raise ValueError(f"{parameter.name} is {value!r}, and a whole number is expected")
        found[parameter.name] = int(number) if is_integer(parameter.name) else number
    return found


def _settings(definition: SweepDefinition, parameters: Mapping[str, float | int]) -> Settings:
    found: Settings = {}
    for parameter in definition.space:
        value = parameters[parameter.name]
        span, name = parameter.range, parameter.name
        if span is None:
            found.update(parameter.choices[int(value)])
        else:
            found[name] = said(span, value, whole=is_integer(name))
    return found
