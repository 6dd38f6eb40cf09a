"""Which example goes to train, validation and test. Pure; everything left out is counted.

`published` takes the source's splits as they are. `calendar` cuts all rows by week of their forecast, the newest weeks
for test, and drops an embargo between blocks. `random` prints test answers inside training prompts (each prompt states
the returns of the weeks before it), so it has to be allowed explicitly, and the data set is marked leaky.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from fingpt.config import PrepConfig
from fingpt.errors import ConfigError, DataError
from fingpt.prompts.examples import Example
from fingpt.rows.layout import SPLITS

_TEST_SHARE = 0.2  # of a random split, as the reference pipeline has it

Rows = Mapping[str, Sequence[Example]]


@dataclass(frozen=True)
class Split:
    """Examples per split, in the order (end of week, symbol, id); `dropped` counts readable rows left out, by rule."""

    rule: str
    leaky: bool
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    dropped: dict[str, int] = field(default_factory=dict)

    def parts(self) -> dict[str, tuple[Example, ...]]:
        """The splits by name, train first."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def split_rows(rows: Rows, config: PrepConfig, seed: int) -> Split:
    """Split `rows` (split name of the source → examples) by the rule of `config`, then apply its `limit`.

    `seed` matters for `random` alone. Raises ConfigError when a random split was not allowed, or validation weeks
    are asked of a published split; DataError when train or test (or a validation block asked for) is empty.
    """
    rule = _rule(rows, config)
    if rule == "published":
        split = _published(rows, config)
    elif rule == "calendar":
        split = _calendar(rows, config)
    else:
        split = _random(rows, config, seed)
    _check_no_empty(split, config)
    return _limited(split, config.limit)


def week_number(example: Example) -> int:
    """Number of the calendar week, Sunday to Saturday, in which the forecast starts."""
    return example.start.toordinal() // 7


def order(example: Example) -> tuple[str, str, str]:
    """Sort key of every split: end of the forecast week, symbol, id."""
    return example.end.isoformat(), example.symbol, example.id


def _rule(rows: Rows, config: PrepConfig) -> str:
    if config.split != "auto":
        return config.split
    return "published" if rows.get("train") and rows.get("test") else "calendar"


def _pool(rows: Rows) -> list[Example]:
    """All rows once: a row that stands in two splits of the source is one row."""
    unique = {example.id: example for part in rows.values() for example in part}
    return sorted(unique.values(), key=order)


def _published(rows: Rows, config: PrepConfig) -> Split:
    if config.validation_weeks and not rows.get("validation"):
        raise ConfigError(
            "prep.validation_weeks needs prep.split=calendar: a published split is taken as it is, and this source has "
            "no validation file."
        )
    train, validation, test = (tuple(sorted(rows.get(name, ()), key=order)) for name in SPLITS)
    return Split("published", False, train, validation, test)


def _calendar(rows: Rows, config: PrepConfig) -> Split:
    """Newest weeks to test, the embargo dropped, then validation and another embargo, the rest to train.

    An embargo of k weeks keeps every earlier forecast's end at least k weeks before the block's first start.
    """
    rest, dropped = _pool(rows), 0
    blocks: dict[str, tuple[Example, ...]] = {"validation": (), "test": ()}
    for name, size in (("test", config.test_weeks or 10), ("validation", config.validation_weeks)):
        weeks = sorted({week_number(example) for example in rest})
        if not size:
            continue
        if len(weeks) <= size:
            raise DataError(
                f"The rows span {len(weeks)} weeks before the {name} block of {size} is cut: nothing is left for "
                f"training; lower prep.{name}_weeks or bring more weeks."
            )
        first = weeks[-size]
        blocks[name] = tuple(example for example in rest if week_number(example) >= first)
        start = min(example.start for example in blocks[name])
        last_end = start - timedelta(weeks=config.embargo_weeks)
        before = [example for example in rest if week_number(example) < first]
        rest = [example for example in before if example.end <= last_end]
        dropped += len(before) - len(rest)
    return Split(
        "calendar", leaky=False, train=tuple(rest), **blocks, dropped=_counted(embargo=dropped)
    )


def _random(rows: Rows, config: PrepConfig, seed: int) -> Split:
    if not config.allow_leaky_split:
        raise ConfigError(
            "prep.split=random prints test answers inside training prompts; use prep.split=calendar, or allow it "
            "with prep.allow_leaky_split=true."
        )
    pool = _pool(rows)
    test = set(random.Random(seed).sample(range(len(pool)), round(_TEST_SHARE * len(pool))))
    return Split(
        "random",
        leaky=True,
        train=tuple(example for place, example in enumerate(pool) if place not in test),
        validation=(),
        test=tuple(example for place, example in enumerate(pool) if place in test),
    )


def _check_no_empty(split: Split, config: PrepConfig) -> None:
    wanted = ["train", "test"] + (["validation"] if config.validation_weeks else [])
    for name in wanted:
        if not split.parts()[name]:
            kept = ", ".join(f"{part} {len(found)}" for part, found in split.parts().items())
            raise DataError(
                f"The {name} split is empty under the rule '{split.rule}' (rows: {kept}); bring rows for it, or set "
                "prep.split=calendar and fitting prep.test_weeks."
            )


def _limited(split: Split, limit: int | None) -> Split:
    """At most `limit` rows per split, evenly spaced over the order (week, symbol): weeks and symbols stay mixed."""
    if limit is None:
        return split
    parts = {name: evenly_spaced(part, limit) for name, part in split.parts().items()}
    cut = sum(len(part) for part in split.parts().values()) - sum(map(len, parts.values()))
    return Split(split.rule, split.leaky, **parts, dropped={**split.dropped, **_counted(limit=cut)})


def evenly_spaced(rows: Sequence[Example], count: int) -> tuple[Example, ...]:
    """`count` of `rows` at even distances, the first and the last among them; all of them when there are fewer."""
    if len(rows) <= count:
        return tuple(rows)
    if count == 1:
        return (rows[0],)
    return tuple(rows[place * (len(rows) - 1) // (count - 1)] for place in range(count))


def _counted(**counts: int) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def weeks_of(rows: Sequence[Example]) -> int:
    """Number of distinct forecast weeks: the effective sample, as rows of one week share the market."""
    return len({week_number(example) for example in rows})
