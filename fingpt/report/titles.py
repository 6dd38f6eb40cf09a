"""What the sides of a comparison are called: by their model, and, where a model has several, by what differs. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fingpt.models import spec
from fingpt.prompts.examples import Example
from fingpt.prompts.headings import has_news, headings
from fingpt.record import Frozen
from fingpt.report.sides import Side
from fingpt.runs.run import Run

_NAMED = 3
"""Settings that a title names; it has to fit into a chart and over a column."""
_MOST_CHARACTERS = 24
_OF_ROWS = frozenset({"prep.source"})
_OF_MEMBERS = frozenset({"model", "seed", "prep.origin"})
"""What the runs of one side may differ in, and what the title says anyway."""


def titled(
    sides: Sequence[Side], families: Sequence[Sequence[Run]], tests: Sequence[Sequence[Example]]
) -> list[Side]:
    """The sides with their titles; `families`: the runs of each, `tests`: its test rows.

    Those of one model whose prompts have other parts are arms of an ablation, and are called by what they lack.
    """
    parts = [_parts(rows) for rows in tests]
    lacking = []
    for side, own in zip(sides, parts, strict=True):
        rivals = [
            each
            for other, each in zip(sides, parts, strict=True)
            if other.model.key == side.model.key
        ]
        arms = len(set(rivals)) == len(rivals) > 1
        lacks = " or ".join(sorted(frozenset.union(*rivals) - own))
        lacking.append((f"without {lacks}" if lacks else "all parts") if arms else "")
    titles = side_titles(families, lacking)
    return [replace(side, title=title) for side, title in zip(sides, titles, strict=True)]


def side_titles(sides: Sequence[Sequence[Run]], lacking: Sequence[str] = ()) -> list[str]:
    """A title for each side, given as its runs (`runs.family.families`); no two are alike.

    A model that has one side is called by its name. Where it has several, the settings that are not equal among them
    are added ("Llama-3.1-8B, train.lr 1e-4"), and what their prompts are `lacking`, which says more than the names of
    their rows; the id of the first run where that is not enough, as where only the code differs.
    """
    firsts = [runs[0] for runs in sides]
    titles = []
    for run, lacks in zip(firsts, lacking or [""] * len(firsts), strict=True):
        rivals = [other for other in firsts if other.config.model == run.config.model]
        keys = _OF_ROWS if lacks else frozenset[str]()
        named = ", ".join([spec(run.config.model).title, *_differing(run, rivals, keys)])
        titles.append(f"{named} ({lacks})" if lacks else named)
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


def _differing(run: Run, rivals: Sequence[Run], ignored: frozenset[str]) -> list[str]:
    mine = settings(run.config)
    others = [settings(other.config) for other in rivals]
    keys = [
        key
        for key, value in mine.items()
        if key not in _OF_MEMBERS | ignored and any(other[key] != value for other in others)
    ]
    named = [f"{key} {_cut(short(mine[key]))}" for key in keys[:_NAMED]]
    more = len(keys) - len(named)
    return [*named, f"{more} more"] if more else named


def _parts(rows: Sequence[Example]) -> frozenset[str]:
    found = frozenset[str]().union(*(headings(row.user) for row in rows))
    return found | {"News"} if any(has_news(row.user) for row in rows) else found


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
