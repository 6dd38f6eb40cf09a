"""Invented test results of two models, drawn again and again, to count what the report says of them.

Each draw makes scored answers (not files) and goes through the code that makes a report's verdicts. `KINDS` are worlds
in which neither model is better; what is planted is added to the second model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fingpt.config import CompareConfig
from fingpt.metrics import correct
from fingpt.report.baselines import Baseline
from fingpt.report.clusters import Weeks
from fingpt.report.inputs import read_runs
from fingpt.report.lines import Variant
from fingpt.report.measures import relative_direction
from fingpt.report.score_arrays import ScoreArrays
from fingpt.report.sides import Side
from fingpt.report.skill import ALPHA, lead, questions
from fingpt.report.table import Tables, tables
from fingpt.report.verdict import Verdict
from fingpt.storage import open_store
from tests.report.world import COLUMNS, START, WEIGHTS, Plan, World

SYMBOLS = 30
LOSS, ROUGE = 0.8, 0.42
MARGINS = np.array([-5.5, -4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
KINDS = ("plain", "clustered", "heavy tails", "unequal weeks", "overlapping windows", "5 % unread")
SHARE_OF_MARKET = 0.18
"""Standard deviation over weeks of the share of rising stocks: what always saying "up" made of the published rows."""


@dataclass(frozen=True)
class Draw:
    """What is drawn: a kind of world, its weeks, and what the second model is given beyond chance.

    `right`: added to its share of right directions. `seeds`: training seeds of each model, whose losses spread by
    `spread` nats. `base`: whether untuned bases are scored, too.
    """

    kind: str = "plain"
    weeks: int = 10
    right: float = 0.0
    seeds: int = 1
    spread: float = 0.0
    base: bool = True
    primary: str = "direction"


class Rows(NamedTuple):
    """The outcomes that all models of a draw share."""

    week: tuple[str, ...]
    truth: np.ndarray
    lean: bool


def outcomes(draw: Draw, rng: np.random.Generator) -> Rows:
    """Test rows of a world: the days on which forecasts start, and what came true."""
    if draw.kind == "overlapping windows":
        return _overlapping(draw, rng)
    sizes = np.full(draw.weeks, SYMBOLS)
    if draw.kind == "unequal weeks":
        sizes = rng.integers(SYMBOLS // 6, 2 * SYMBOLS - SYMBOLS // 6 + 1, draw.weeks)
    code = np.repeat(np.arange(draw.weeks), sizes)
    half = WEIGHTS[6:] / WEIGHTS[6:].sum()
    size = rng.choice(MARGINS[6:], size=len(code), p=half)
    share = np.full(draw.weeks, 0.5)
    if draw.kind == "clustered":
        share = np.clip(rng.normal(0.5, SHARE_OF_MARKET, draw.weeks), 0.02, 0.98)
    up = rng.random(len(code)) < share[code]
    days = [(START + timedelta(days=7 * int(week))).isoformat() for week in range(draw.weeks)]
    return Rows(
        tuple(days[week] for week in code), np.where(up, size, -size), draw.kind == "clustered"
    )


def _overlapping(draw: Draw, rng: np.random.Generator) -> Rows:
    """Five start days a week, six stocks each; returns of five days with a common market, so windows share days."""
    days = 5 * draw.weeks
    market = rng.normal(0, 0.6, days + 5)
    common = np.convolve(market, np.ones(5), mode="valid")[:days]
    moves = np.repeat(common, SYMBOLS // 5) + rng.normal(0, 2.2, days * SYMBOLS // 5)
    truth = np.sign(moves) * (np.minimum(np.floor(np.abs(moves)), 5) + 0.5)
    starts = [
        (START + timedelta(days=7 * (day // 5) + 1 + day % 5)).isoformat() for day in range(days)
    ]
    return Rows(tuple(np.repeat(starts, SYMBOLS // 5).tolist()), truth, True)


def answers(
    draw: Draw, rows: Rows, rng: np.random.Generator, lean: float, right: float, unread: float
) -> ScoreArrays:
    """One model's scored answers: `lean` is how often it says "up" where the market moves together."""
    n = len(rows.truth)
    heavy = draw.kind == "heavy tails"
    if rows.lean and not right:
        direction = np.where(rng.random(n) < lean, 1.0, -1.0)
    else:
        direction = np.where(rng.random(n) < 0.5 + right, 1, -1) * np.sign(rows.truth)
    size = np.abs(rng.standard_t(3, n)) + 0.5 if heavy else rng.choice(MARGINS[6:10], n)
    tokens = rng.integers(40, 80, n).astype(float)
    spread = rng.standard_t(3, n) * 0.05 if heavy else rng.normal(0, 0.05, n)
    silent = rng.random(n) < unread
    nan = np.where(silent, np.nan, 1.0)
    quality = rng.normal(ROUGE, 0.05, n)
    return ScoreArrays(
        example=tuple(f"{row:05d}" for row in range(n)),
        week=rows.week,
        truth=rows.truth,
        nll=tokens * (LOSS + spread),
        answer_tokens=tokens,
        new_tokens=np.full(n, 300.0),
        seconds=np.ones(n),
        parsed=(~silent).astype(float),
        valid=(~silent).astype(float),
        direction=direction * nan,
        margin=direction * size * nan,
        # The nine scores of one answer go together.
        rouge={name: (quality + rng.normal(0, 0.05, n)) * nan for name in COLUMNS},
    )


@cache
def _template() -> Side:
    with tempfile.TemporaryDirectory() as folder:
        world = World(open_store(Path(folder).as_uri()), weeks=8, symbols=2)
        return read_runs(world.store, [world.add("llama31", Plan())]).sides[0]


def sides(draw: Draw, rng: np.random.Generator) -> list[Side]:
    """Two models' sides of one draw, equal but for chance and for what is planted in the second."""
    rows = outcomes(draw, rng)
    tokens = None
    made = []
    for place, (title, lean) in enumerate((("A", 0.52), ("B", 0.63))):
        silent = 0.05 if draw.kind == "5 % unread" and place else 0.0
        planted = draw.right if place else 0.0
        seeds = [answers(draw, rows, rng, lean, planted, silent) for _ in range(draw.seeds)]
        tokens = seeds[0].answer_tokens if tokens is None else tokens
        alike = [_with_tokens(one, tokens, rng.normal(0, draw.spread)) for one in seeds]
        arrays = {"tuned": alike[0]}
        if draw.base:
            arrays["base"] = _with_tokens(answers(draw, rows, rng, lean, 0.0, 0.0), tokens, 0.0)
        made.append(
            replace(
                _template(),
                title=title,
                arrays=arrays,
                others=tuple({"tuned": one} for one in alike[1:]),
                compare=CompareConfig(primary=draw.primary),
            )
        )
    return made


def _with_tokens(rows: ScoreArrays, tokens: np.ndarray, shift: float) -> ScoreArrays:
    """The same losses per token over the reference answers' tokens, which all models share."""
    return replace(rows, nll=(rows.nll / rows.answer_tokens + shift) * tokens, answer_tokens=tokens)


def drawn(draw: Draw, count: int, seed: int = 1) -> Iterator[tuple[list[Side], Tables]]:
    """`count` draws, each with the lines of its report."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        both = sides(draw, rng)
        yield both, tables(both)


def words(made: Tables) -> set[Verdict]:
    """Every verdict of a pair or of a model against its base, but for timings and notes."""
    lines = [line for line in made.lines if line.group not in ("Samples per second", "Run time")]
    lines += [line for own in made.own for line in own]
    found = {comparison.verdict for line in lines for comparison in line.comparisons}
    return found - {Verdict.NOTE}


def primary(made: Tables) -> Verdict:
    """The answer to the primary question."""
    return next(line for line in made.lines if line.primary).comparisons[0].verdict


def trivial(rows: ScoreArrays, rng: np.random.Generator) -> list[Baseline]:
    """The trivial forecasts over the rows of a draw; last week's move, which prompts state, is drawn."""
    half = np.full(rows.n, 0.5)
    found = [Baseline("zero", "no change", None, rows.truth**2, half)]
    last = rng.choice(MARGINS, rows.n)
    moves = {"up": half, "down": -half, "persistence": last, "reversal": -last}
    for key, move in moves.items():
        right = correct(np.sign(move), np.sign(rows.truth))
        relative = relative_direction(move, rows.truth, rows.week)
        found.append(Baseline(key, key, right, (move - rows.truth) ** 2, relative))
    found.append(Baseline("coin", "coin", half, rows.truth**2 + 0.25, half))
    return found


def have_skill(both: Sequence[Side], rng: np.random.Generator) -> bool:
    """Whether the report would say of any model that it beats all trivial forecasts in any question."""
    found = trivial(both[0].tuned, rng)
    weeks = Weeks.of(both[0].tuned.week)
    asked = [
        (variant, question)
        for variant in (Variant.of([side.tuned], weeks) for side in both)
        for question in questions(variant)
    ]
    return any(
        lead(question, variant, found, ALPHA / len(asked)).over_all for variant, question in asked
    )
