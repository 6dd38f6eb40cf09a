"""Arms of an ablation: runs that answer the same questions, put otherwise. Pure.

Two data sets that were built with other families of features have the same symbols, weeks and labels, and other
prompts. Their rows are paired by symbol and period, so that a difference is the families' doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fingpt.prompts.examples import Example
from fingpt.record import canonical_json, sha256_bytes
from fingpt.report.members import at
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Side

Question = tuple[str, str, str]


def aligned(sides: Sequence[Side], tests: Sequence[Sequence[Example]]) -> list[Side]:
    """The sides; one whose rows ask what the first side's do gets its answers under the first side's ids, in its order.

    `tests`: the test rows of each side. Sides that ask anything else, or anything twice, stay as they are, and so do
    other rows of another model.
    """
    first, names = sides[0], sides[0].tuned.example
    by_id = {row.id: question for question, row in _asked(tests[0]).items()}
    if not by_id.keys() >= set(names):
        return list(sides)
    questions = [by_id[name] for name in names]
    found = []
    for side, rows in zip(sides, tests, strict=True):
        own = _asked(rows)
        if own.keys() != set(by_id.values()):
            found.append(side)
            continue
        ids = [own[question].id for question in questions]
        # Another model's arm differs in two ways at once, and nothing could be said of either.
        other = _ids(side) != _ids(first) and side.model.key == first.model.key
        arm = other and _scored(side, set(ids))
        one = replace(_renamed(side, ids, names), asks=_ids(first)) if arm else side
        answers = [own[question].answer for question in questions]
        found.append(replace(one, references=sha256_bytes(canonical_json(answers))))
    return found


def _asked(rows: Sequence[Example]) -> dict[Question, Example]:
    """The rows by what they ask; empty where one asks what another does."""
    found = {(row.symbol, row.period, row.label): row for row in rows}
    return found if len(found) == len(rows) else {}


def _ids(side: Side) -> tuple[str, ...]:
    return tuple(data.id for data in side.every_dataset)


def _scored(side: Side, ids: set[str]) -> bool:
    """Whether every variant and seed of a side has the answers to just these rows, in one order."""
    every = (scores for variants in (side.arrays, *side.others) for scores in variants.values())
    return set(side.tuned.example) == ids and {each.example for each in every} == {
        side.tuned.example
    }


def _renamed(side: Side, ids: Sequence[str], names: tuple[str, ...]) -> Side:
    """The side with its answers to `ids` in their order, under `names`."""
    places = {name: place for place, name in enumerate(side.tuned.example)}
    order = [places[name] for name in ids]

    def moved(arrays: Mapping[str, ScoreArrays]) -> dict[str, ScoreArrays]:
        return {
            variant: replace(at(scores, order), example=names) for variant, scores in arrays.items()
        }

    return replace(
        side,
        arrays=moved(side.arrays),
        others=tuple(moved(each) for each in side.others),
        origin=None if side.origin is None else side.origin[order],
        aliases=dict(zip(ids, names, strict=True)),
    )
