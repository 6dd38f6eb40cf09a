"""Freeze a sweep: check its definition against every model, its configurations as a search needs them, its rows.

Everything is checked before anything is written. What is changed in a configuration is said in the sweep's notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from fingpt import log
from fingpt.config import PrepConfig, RunConfig
from fingpt.errors import ConfigError
from fingpt.sweeps.definition import SweepDefinition
from fingpt.sweeps.plan import check_count
from fingpt.sweeps.space import check_space
from fingpt.sweeps.sweep import SCORED, Sweep, with_settings

MOST_NAME = 31

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def checked(
    name: str, definition: SweepDefinition, configs: Sequence[RunConfig]
) -> tuple[dict[str, RunConfig], tuple[str, ...]]:
    """Configurations by model as trials start from them, and notes on what was changed in them; pure.

    ConfigError for the first thing that keeps the sweep from being carried out as a whole.
    """
    require_name(name)
    check_count(definition)
    bases: dict[str, RunConfig] = {}
    notes: list[str] = []
    for config in configs:
        if config.model in bases:
            raise ConfigError(
                f"MODELS names two configurations of {config.model}; search one of them, or each in a sweep of its own."
            )
        base, changed = with_validation(config)
        _check_base(base)
        check_space(definition, base, partial(_check_point, definition))
        bases[config.model] = base
        notes += [changed] if changed else []
    return bases, tuple(notes)


def require_name(name: str) -> None:
    """ConfigError unless Jobs can be named after a search of that name."""
    if not _NAME.fullmatch(name) or len(name) > MOST_NAME:
        raise ConfigError(
            f"The search's name '{name[:80]}' names its Jobs too: at most {MOST_NAME} lower-case letters, digits and "
            "'-'; rename its file."
        )


def with_validation(config: RunConfig) -> tuple[RunConfig, str]:
    """`config` with validation weeks, which a search cannot do without, and what was changed; empty for nothing."""
    if config.prep.validation_weeks:
        return config, ""
    weeks = PrepConfig().validation_weeks
    changed = with_settings(config, {"prep.validation_weeks": weeks})
    return changed, (
        f"{config.model}: prep.validation_weeks is 0 in the configuration and {weeks} in this sweep, cut from the end "
        "of train with the embargo: a search compares its trials on validation rows"
    )


def freeze_sweep(
    name: str,
    definition: SweepDefinition,
    configs: Sequence[RunConfig],
    images: Mapping[str, str],
    freeze_rows: Callable[[RunConfig], RunConfig],
) -> Sweep:
    """The sweep of checked configurations, whose rows `freeze_rows` puts into the bucket; nothing else is written."""
    bases, notes = checked(name, definition, configs)
    for note in notes:
        log.event(note)
    frozen = {model: freeze_rows(config) for model, config in bases.items()}
    return Sweep.of(name, definition, frozen, images, notes)


def _check_base(config: RunConfig) -> None:
    if config.eval.adapter:
        raise ConfigError(
            "eval.adapter names an adapter that was trained elsewhere, so there is nothing to search; leave it out."
        )
    if config.train.nodes > 1:
        raise ConfigError(
            f"train.nodes is {config.train.nodes} in the configuration of {config.model}, and each trial of a search "
            "trains on one node; set train.nodes=1, and train.processes to the GPUs of a node."
        )
    if config.prep.origins and not config.prep.origin:
        raise ConfigError(
            f"prep.origins makes {config.prep.origins} runs of each trial; search on one of them, such as "
            "prep.origin=1, the oldest, whose test no later training has learned from."
        )
    if config.prep.split == "random":
        raise ConfigError(
            "prep.split=random prints answers of its validation rows inside training prompts, so a search would choose "
            "what remembers best; use prep.split=calendar."
        )


def _check_point(definition: SweepDefinition, config: RunConfig) -> None:
    """What a configuration that the space can draw has to fit besides: pruning, and the objective's own eval."""
    if definition.pruning is not None:
        from fingpt.sweeps.halving import require_prunable

        require_prunable(config)
    if definition.objective == "labels":
        with_settings(config, SCORED)
