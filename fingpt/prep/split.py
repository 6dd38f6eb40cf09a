"""Which example goes to train, validation and test. Pure; everything left out is counted.

`calendar` cuts all rows by week: train, embargo, validation, embargo, test. `published` takes the source's test rows as
they are, cuts validation weeks from the end of its train, and is checked as if it had been cut here. `random` prints
test answers inside training prompts (each prompt states the returns of the weeks before it), so it has to be allowed
explicitly, and the data set is marked leaky; so is a published split that turns out to be random.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fingpt.config import PrepConfig
from fingpt.errors import ConfigError, DataError
from fingpt.prep.blocks import (
    Shape,
    cut,
    cut_before,
    fitting_shape,
    interleaving,
    least_embargo,
    purged,
    weeks_of,
)
from fingpt.prompts.examples import Example
from fingpt.rows.layout import SPLITS

TEST_WEEKS = 10
_TEST_SHARE = 0.2  # of a random split, as the reference pipeline has it

_INTERLEAVED = 0.1
"""Above this share of pairs in which the train row is not older than the test row nobody has cut by date."""

Rows = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class Split:
    """Examples per split, in the order (end of week, symbol, id); `dropped` counts readable rows left out, by rule.

    `embargo_weeks`: the gap that was kept between blocks, 0 for none. `origin` of `origins`: the walk-forward block.
    """

    rule: str
    leaky: bool
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    embargo_weeks: int = 0
    origin: int | None = None
    origins: int | None = None

    def parts(self) -> dict[str, tuple[Example, ...]]:
        """The splits by name, train first."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_rows(rows: Rows, config: PrepConfig, seed: int) -> Split:
    """Split `rows` (split name of the source → examples) by the rule of `config`, then apply its `limit`.

    `seed` matters for a random split alone. Raises ConfigError when a random split was not allowed, or no origin is
    chosen; DataError when the rows span too few weeks, or a block is empty.
    """
    rule = _rule(rows, config)
    if rule == "published":
        split = _published(rows, config, seed)
    elif rule == "calendar":
        split = _calendar(rows, config)
    else:
        split = _random(_pool(rows), config, seed)
    _check_no_empty(split, config)
    return _limited(split, config.limit)


def order(example: Example) -> tuple[str, str, str]:
    """Sort key of every split: end of the forecast week, symbol, id."""
    return example.end.isoformat(), example.symbol, example.id


def _rule(rows: Rows, config: PrepConfig) -> str:
    if config.split != "auto":
        return config.split
    published = rows.get("train") and rows.get("test") and not config.origins
    return "published" if published else "calendar"


def _pool(rows: Rows) -> list[Example]:
    """All rows once: a row that stands in two splits of the source is one row."""
    unique = {example.id: example for part in rows.values() for example in part}
    return sorted(unique.values(), key=order)


def _published(rows: Rows, config: PrepConfig, seed: int) -> Split:
    """The source's own split, purged of overlaps; a random one is refused like one of ours."""
    train, validation, test = (tuple(sorted(rows.get(name, ()), key=order)) for name in SPLITS)
    mixed = interleaving((*train, *validation), test)
    if mixed > _INTERLEAVED:
        share = f"in {100 * mixed:.0f} % of its pairs of a train and a test row the test row is not the newer one"
        _require_leaky_allowed(config, f"The source's own split is random ({share}): it")
        if not validation and config.validation_weeks:
            train, validation = _drawn(train, _validation_rows(train, config), seed)
        return Split("published, random", True, train, validation, test)
    kept = purged(train, (*validation, *test))
    tuned = purged(validation, test)
    lost = len(train) - len(kept) + len(validation) - len(tuned)
    if validation or not config.validation_weeks or not kept or not test:
        return Split("published", False, kept, tuned, test, _counted(purge=lost))
    least = least_embargo((*kept, *test))
    shape = Shape(0, config.validation_weeks, max(config.embargo_weeks, least))
    cut_off = cut_before(kept, test, shape)
    if not cut_off.train:
        raise DataError(_too_short_published(kept, test, shape, least))
    return Split(
        "published, validation cut from its train",
        False,
        purged(cut_off.train, cut_off.validation),
        cut_off.validation,
        test,
        _counted(purge=lost, embargo=cut_off.embargoed),
        embargo_weeks=shape.embargo,
    )


def _calendar(rows: Rows, config: PrepConfig) -> Split:
    """Newest weeks to test, an embargo, validation, another embargo, the rest to train."""
    if config.origins and not config.origin:
        raise ConfigError(
            f"prep.origins={config.origins} is one run for each origin; name one: prep.origin from 1 to "
            f"{config.origins} (make run starts all of them)."
        )
    pool = _pool(rows)
    least = least_embargo(pool)
    embargo = max(config.embargo_weeks, least)
    origins = config.origins or 1
    size = config.test_weeks or _test_weeks(pool, config.validation_weeks, embargo, origins)
    later = size * (origins - (config.origin or 1))
    shape = Shape(size, config.validation_weeks, embargo, later)
    oldest = replace(shape, later=size * (origins - 1))
    if not cut(pool, oldest).train:
        raise DataError(_too_short(pool, oldest, origins, least))
    blocks = cut(pool, shape)
    tuned = purged(blocks.validation, blocks.test)
    train = purged(blocks.train, (*blocks.validation, *blocks.test))
    lost = len(blocks.train) - len(train) + len(blocks.validation) - len(tuned)
    return Split(
        "calendar",
        False,
        train,
        tuned,
        blocks.test,
        _counted(embargo=blocks.embargoed, purge=lost, later=blocks.later),
        embargo_weeks=embargo,
        origin=config.origin,
        origins=config.origins,
    )


def _test_weeks(pool: Sequence[Example], validation: int, embargo: int, origins: int) -> int:
    """Weeks of a test block where none are set; those of origins leave half of the weeks to the oldest's train."""
    if origins == 1:
        return TEST_WEEKS
    left = weeks_of(pool) - validation - embargo * (2 if validation else 1)
    return min(TEST_WEEKS, max(1, left // 2 // origins))


def _too_short(pool: Sequence[Example], shape: Shape, origins: int, least: int) -> str:
    blocks = f"{shape.test} test weeks" if origins == 1 else f"{origins} × {shape.test} test weeks"
    spent = f"{blocks}, {shape.validation} validation weeks and embargoes of {shape.embargo} weeks"
    best = fitting_shape(pool, shape, origins, least)
    text = f"The rows span {weeks_of(pool)} weeks, and {spent} leave none for training; "
    if best is None:
        return f"{text}bring more weeks."
    ways = {"test": best.test, "validation": best.validation, "embargo": best.embargo}
    given = {"test": shape.test, "validation": shape.validation, "embargo": shape.embargo}
    words = [f"prep.{name}_weeks={weeks}" for name, weeks in ways.items() if weeks != given[name]]
    return f'{text}set SET="{" ".join(words)}", or bring more weeks.'


def _too_short_published(
    train: Sequence[Example], test: tuple[Example, ...], shape: Shape, least: int
) -> str:
    shapes = [
        Shape(0, validation, embargo)
        for embargo in range(shape.embargo, least - 1, -1)
        for validation in range(shape.validation, 0, -1)
    ]
    best = next((one for one in shapes if cut_before(train, test, one).train), None)
    text = (
        f"The published train rows span {weeks_of(train)} weeks, and {shape.validation} validation weeks and "
        f"embargoes of {shape.embargo} weeks leave none for training; "
    )
    fewer = (
        f'set SET="prep.validation_weeks={best.validation} prep.embargo_weeks={best.embargo}", or '
        if best
        else "set "
    )
    return f"{text}{fewer}SET=prep.validation_weeks=0 to take the published split as it is."


def _random(pool: Sequence[Example], config: PrepConfig, seed: int) -> Split:
    _require_leaky_allowed(config, "prep.split=random")
    train, test = _drawn(pool, round(_TEST_SHARE * len(pool)), seed)
    train, validation = _drawn(train, _validation_rows(train, config), seed)
    return Split("random", True, train, validation, test)


def _require_leaky_allowed(config: PrepConfig, what: str) -> None:
    if not config.allow_leaky_split:
        raise ConfigError(
            f"{what} prints test answers inside training prompts; use prep.split=calendar, or allow it with "
            "prep.allow_leaky_split=true."
        )


def _validation_rows(train: Sequence[Example], config: PrepConfig) -> int:
    """As many rows as the validation weeks have on average; fewer where they would be half of train or more."""
    weeks = max(1, weeks_of(train))
    return min(round(len(train) * config.validation_weeks / weeks), len(train) // 2)


def _drawn(
    rows: Sequence[Example], count: int, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The rows that are left, and `count` rows drawn at random, both in order."""
    chosen = set(random.Random(seed).sample(range(len(rows)), count))
    left = tuple(one for place, one in enumerate(rows) if place not in chosen)
    return left, tuple(one for place, one in enumerate(rows) if place in chosen)


def _check_no_empty(split: Split, config: PrepConfig) -> None:
    wanted = ["train", "test"] + (["validation"] if config.validation_weeks else [])
    for name in wanted:
        if not split.parts()[name]:
            kept = ", ".join(f"{part} {len(found)}" for part, found in split.parts().items())
            left = ", ".join(f"{rule} {count}" for rule, count in split.dropped.items())
            raise DataError(
                f"The {name} split is empty under the rule '{split.rule}' (rows: {kept}"
                f"{f'; left out: {left}' if left else ''}); bring rows for it, or set prep.split=calendar and fitting "
                "prep.test_weeks."
            )


def _limited(split: Split, limit: int | None) -> Split:
    """At most `limit` rows per split, evenly spaced over the order (week, symbol): weeks and symbols stay mixed."""
    if limit is None:
        return split
    parts = {name: evenly_spaced(part, limit) for name, part in split.parts().items()}
    lost = sum(len(part) for part in split.parts().values()) - sum(map(len, parts.values()))
    return replace(split, **parts, dropped={**split.dropped, **_counted(limit=lost)})


def evenly_spaced(rows: Sequence[Example], count: int) -> tuple[Example, ...]:
    """`count` of `rows` at even distances, the first and the last among them; all of them when there are fewer."""
    if len(rows) <= count:
        return tuple(rows)
    if count == 1:
        return (rows[0],)
    return tuple(rows[place * (len(rows) - 1) // (count - 1)] for place in range(count))


def _counted(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}
