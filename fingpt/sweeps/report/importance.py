"""Which parameters decide whether a trial is among the best: Optuna's PED-ANOVA (Watanabe et al. 2023). Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fingpt.sweeps.definition import Settings
from fingpt.sweeps.report.document import Importance
from fingpt.sweeps.report.places import Axis

LEAST_TRIALS = 20
"""Below it the best quarter has fewer than the five trials that the method wants."""
_BEST_TRIALS = 5


def missing(complete: int, space: Sequence[Axis]) -> str:
    """Why the importance of parameters cannot be said; empty where it can."""
    if len(space) < 2:
        return "the space has a single parameter, so all depends on it"
    if complete < LEAST_TRIALS:
        return f"it takes {LEAST_TRIALS} complete trials, and {complete} are: {LEAST_TRIALS - complete} are missing"
    return ""


def importances(
    trials: Sequence[tuple[Settings, float]], space: Sequence[Axis]
) -> tuple[Importance, ...]:
    """Shares of the parameters, the largest first, from settings and values of complete trials.

    What counts as best is the best tenth, or as many as hold five trials.
    """
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
    )
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    optuna.logging.set_verbosity(verbosity)
    distributions: dict[str, BaseDistribution] = {
        axis.name: FloatDistribution(
            axis.parameter.range.low, axis.parameter.range.high, log=axis.log
        )
        if axis.parameter.range
        else CategoricalDistribution(axis.choices)
        for axis in space
    }
    for settings, value in trials:
        params: dict[str, float | str | None] = {
            axis.name: axis.number(settings) if axis.parameter.range else axis.words(settings)
            for axis in space
        }
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    quantile = max(0.1, _BEST_TRIALS / len(trials))
    found = get_param_importances(
        study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile)
    )
    return tuple(Importance(parameter=name, share=share) for name, share in found.items())
