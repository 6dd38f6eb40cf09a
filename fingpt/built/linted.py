"""The leak linter over built rows: an error ends the build, and names the row, the source and the remedy."""

from __future__ import annotations

from pathlib import Path

from fingpt import log
from fingpt.built.attribution import remedy
from fingpt.built.dataset import facts_of
from fingpt.errors import DataError
from fingpt.leaks import FAULTS
from fingpt.prep.importer import import_rows
from fingpt.prep.lint import lint
from fingpt.prep.source import noted
from fingpt.prep.spool import Spool
from fingpt.rows.readers import read_file
from fingpt.runs.manifest import Finding


def linted(rows: Path) -> tuple[Finding, ...]:
    """What the leak linter finds in a file of rows; DataError when one of it is an error: nothing is stored then."""
    stream = noted(rows, read_file(rows, "train"))
    findings = lint(import_rows(stream, 0.0, Spool(rows.parent)).rows)
    for each in findings:
        if each.severity != "info":
            log.warning(f"leak linter: {each.rule}", count=each.count, of=each.of, text=each.text)
    errors = [each for each in findings if each.severity == "error"]
    if errors:
        named = " ".join(
            f"{each.rule} in {each.count} of {each.of} rows: {each.text} {FAULTS[each.rule].advice} "
            f"{_attributed(rows, each)}".rstrip()
            for each in errors
        )
        raise DataError(
            f"The sources tell what they could not have known, so nothing was built. {named}"
        )
    return findings


def _attributed(rows: Path, found: Finding) -> str:
    """What the first row that a finding names rests on, and what to do; empty for a finding that names none."""
    facts = facts_of(rows, found.example)
    return "" if facts is None else remedy(found.rule, found.text, facts)
