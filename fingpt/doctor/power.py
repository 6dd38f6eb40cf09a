"""What the rows of a configuration can show, said before a GPU is asked for; `compare.least_gap` may refuse them.

The rows are read, imported and split as prep does it, on this machine. The arithmetic is `fingpt.report.power`'s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fingpt import log
from fingpt.config import RunConfig
from fingpt.doctor.checks import Check, Grade, failed, passed
from fingpt.errors import DataError, FingptError
from fingpt.rows.layout import split_of
from fingpt.runs.family import members
from fingpt.runs.freeze import gather, mirrored
from fingpt.storage import ObjectStore

if TYPE_CHECKING:
    from fingpt.report.power import Power
    from fingpt.rows.raw_rows import RawRow, Reject

NAME = "power"


def rows_power(store: ObjectStore, config: RunConfig) -> Power:
    """What the test rows of `config`, of all its origins where it has several, can show of two models' directions.

    Raises what prep raises for such rows.
    """
    from fingpt.prep.importer import import_rows
    from fingpt.prep.split import split_rows
    from fingpt.report.power import planned

    with tempfile.TemporaryDirectory(prefix="fingpt-power-") as scratch:
        imported = import_rows(_rows(store, config, Path(scratch)), config.prep.max_reject_rate)
    splits = [split_rows(imported.rows, one.prep, one.seed) for one in members(config)]
    test = {example.id: example for split in splits for example in split.test}
    return planned(list(test.values()), splits[0].train)


def _rows(store: ObjectStore, config: RunConfig, scratch: Path) -> Iterator[RawRow | Reject]:
    from fingpt.prep.source import read_rows
    from fingpt.rows.readers import read_file

    source = config.prep.source
    if source.startswith("hub:"):
        source = mirrored(store, source, config.model)
    if source.startswith("raw/"):
        yield from read_rows(source, store, scratch)
        return
    for name, path in gather(source, scratch).files:
        yield from read_file(path, split_of(name))


def require_power(config: RunConfig, power: Power) -> None:
    """DataError where the configuration sets a floor that these rows do not reach."""
    from fingpt.report.power import statement

    floor = config.compare.least_gap
    if floor is not None and (power.gap is None or power.gap > floor):
        raise DataError(
            f"{statement(power)}; compare.least_gap={floor:g} asks for gaps of {floor * 100:g} points: bring more test "
            "weeks (prep.test_weeks, prep.origins), or start it all the same with SET=compare.least_gap=null."
        )


def power_check(store: ObjectStore, config: RunConfig) -> Check:
    """The power statement as a check of doctor: a warning where no gap would be found."""
    try:
        power = rows_power(store, config)
        require_power(config, power)
    except FingptError as fault:
        return failed(NAME, fault)
    from fingpt.report.power import statement

    if power.gap is None:
        more = "bring more test weeks (prep.test_weeks, prep.origins) before you train on them"
        return Check(NAME, Grade.WARN, statement(power), more)
    return passed(NAME, statement(power))


def announce_power(store: ObjectStore, config: RunConfig) -> None:
    """Log what the rows can show, before a training is submitted; DataError where `compare.least_gap` refuses it.

    Rows that cannot be read are prep's to refuse, and a machine without the libraries that read rows says nothing; but
    a floor that is set has to be shown to hold.
    """
    asked = config.compare.least_gap is not None
    if not asked and any(find_spec(name) is None for name in ("numpy", "pyarrow", "scipy")):
        return
    from fingpt.report.power import statement

    try:
        power = rows_power(store, config)
    except FingptError:
        if asked:
            raise
        return
    log.event(f"power: {statement(power)}")
    require_power(config, power)
