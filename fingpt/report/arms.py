"""Arms of an ablation: runs that answer the same questions, put otherwise. Pure.

Two data sets that were built with other families of features have the same symbols, weeks and labels, and other
prompts. Their rows are paired by symbol and period, so that a difference is the families' doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fingpt.prompts.examples import Example
from fingpt.prompts.headings import has_news, headings
from fingpt.record import canonical_json, sha256_bytes
from fingpt.report.members import at
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Side

Question = tuple[str, str, str]


def aligned(sides: Sequence[Side], tests: Sequence[Sequence[Example]]) -> list[Side]:
    """The sides; one whose rows ask what the first side's do gets its answers under the first side's ids, in its order.

    `tests`: the test rows of each side. Sides that ask anything else, or anything twice, stay as they are.
    """
    first = _asked(tests[0])
    known = {example.id: (question, example) for question, example in first.items()}
    found = [sides[0]]
    for side, rows in zip(sides[1:], tests[1:], strict=True):
        own = _asked(rows)
        if side.dataset.id == sides[0].dataset.id or not own or own.keys() != first.keys():
            found.append(side)
            continue
        places = {name: place for place, name in enumerate(side.tuned.example)}
        names = [name for name in sides[0].tuned.example if own[known[name][0]].id in places]
        if len(names) != side.tuned.n:
            found.append(side)
            continue
        own_of = {name: own[known[name][0]].id for name in names}
        order = [places[own_of[name]] for name in names]
        found.append(_renamed(side, names, order, {each: name for name, each in own_of.items()}))
        found[-1] = replace(
            found[-1], asks=_ids(sides[0]), references=_references(own, names, known)
        )
    if any(side.asks for side in found):
        found[0] = replace(found[0], references=_references(first, sides[0].tuned.example, known))
    return found


def titled(sides: Sequence[Side], tests: Sequence[Sequence[Example]]) -> list[Side]:
    """The sides, those of one model named by what their prompts lack of each other's, or else by their run."""
    parts = [_parts(rows) for rows in tests]
    names = []
    for side, own in zip(sides, parts, strict=True):
        alike = [
            each for other, each in zip(sides, parts, strict=True) if other.title == side.title
        ]
        lacking = sorted(frozenset.union(*alike) - own)
        arms = len(set(alike)) == len(alike) > 1
        without = f"without {' or '.join(lacking)}" if lacking else "all parts"
        run = f"({side.runs[0][-8:]})" if len(alike) > 1 else ""
        names.append(f"{side.title} {f'({without})' if arms else run}".strip())
    return [replace(side, title=name) for side, name in zip(sides, names, strict=True)]


def _asked(rows: Sequence[Example]) -> dict[Question, Example]:
    """The rows by what they ask; empty where one asks what another does."""
    found = {(row.symbol, row.period, row.label): row for row in rows}
    return found if len(found) == len(rows) else {}


def _ids(side: Side) -> tuple[str, ...]:
    return tuple(data.id for data in side.every_dataset)


def _renamed(side: Side, names: list[str], order: list[int], aliases: dict[str, str]) -> Side:
    def moved(arrays: Mapping[str, ScoreArrays]) -> dict[str, ScoreArrays]:
        return {
            variant: replace(at(scores, order), example=tuple(names))
            for variant, scores in arrays.items()
        }

    return replace(
        side,
        arrays=moved(side.arrays),
        others=tuple(moved(each) for each in side.others),
        origin=None if side.origin is None else side.origin[order],
        aliases=aliases,
    )


def _references(
    own: dict[Question, Example],
    names: Sequence[str],
    known: dict[str, tuple[Question, Example]],
) -> str:
    """Hash of the reference answers in the first side's order."""
    return sha256_bytes(canonical_json([own[known[name][0]].answer for name in names]))


def _parts(rows: Sequence[Example]) -> frozenset[str]:
    found = frozenset[str]().union(*(headings(row.user) for row in rows))
    return found | {"News"} if any(has_news(row.user) for row in rows) else found
