"""What the sides of a comparison are called: by their model, and, where a model has several, by what differs. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fingpt.models import spec
from fingpt.record import Frozen
from fingpt.runs.run import Run

_NAMED = 3
"""Settings that a title names; it has to fit into a chart and over a column."""
_MOST_CHARACTERS = 24
_OF_MEMBERS = frozenset({"model", "seed", "prep.origin"})
"""What the runs of one side may differ in, and what the title says anyway."""


def side_titles(sides: Sequence[Sequence[Run]]) -> list[str]:
    """A title for each side, given as its runs (`runs.family.families`); no two are alike.

    A model that has one side is called by its name. Where it has several, the settings that are not equal among them
    are added ("Llama-3.1-8B, train.lr 1e-4"); the id of the first run where that is not enough, as where only the code
    differs.
    """
    firsts = [runs[0] for runs in sides]
    titles = []
    for run in firsts:
        rivals = [other for other in firsts if other.config.model == run.config.model]
        titles.append(", ".join([spec(run.config.model).title, *_differing(run, rivals)]))
    return [
        title if titles.count(title) == 1 else f"{title} ({run.id[-8:]})"
        for title, run in zip(titles, firsts, strict=True)
    ]


def settings(config: Frozen, prefix: str = "") -> dict[str, Any]:
    """Every setting of a configuration by its dotted key, defaults among them."""
    found: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        inner = isinstance(value, Frozen)
        found |= settings(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}": value}
    return found


def short(value: Any) -> str:
    """A setting's value as people write it: 1e-4, none, q_proj+v_proj."""
    if isinstance(value, float):
        text = f"{value:g}"
        if 0 < abs(value) < 0.01:
            digits, _, power = f"{value:e}".partition("e")
            text = f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
        return text if float(text) == value else repr(value)
    if isinstance(value, list | tuple):
        return "+".join(map(short, value))
    if value is None or isinstance(value, str):
        return value or "none"
    return json.dumps(value, ensure_ascii=False)


def _differing(run: Run, rivals: Sequence[Run]) -> list[str]:
    mine = settings(run.config)
    others = [settings(other.config) for other in rivals]
    keys = [
        key
        for key, value in mine.items()
        if key not in _OF_MEMBERS and any(other[key] != value for other in others)
    ]
    named = [f"{key} {_cut(short(mine[key]))}" for key in keys[:_NAMED]]
    more = len(keys) - len(named)
    return [*named, f"{more} more"] if more else named


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
