"""Build rows of own symbols: `python -m jobs.build --symbols "AAPL MSFT" --first 2025-01-01 --last 2026-10-30`.

Raw data come from a folder of files (DATA) or from what a SOURCES file names, and are kept in the store; the rows rest
on them alone, go through the leak linter, and appear under `built/<id>/` whole or not at all. A repeated command says
that they are there.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fingpt import log
from fingpt.config import argument, read_environment, split_words
from fingpt.errors import ConfigError, DataError
from fingpt.runs.stage import guarded, interrupt_on_signals
from fingpt.storage import ObjectStore, open_store

if TYPE_CHECKING:
    from fingpt.features.config import FeatureConfig
    from fingpt.features.dataset import BuiltManifest, Recipe, RowFile
    from fingpt.features.rows import Answer
    from fingpt.runs.manifest import Finding
    from fingpt.sources.selection import Selection
    from fingpt.sources.snapshot import Snapshot

_LOOK_BACK = timedelta(days=380)
"""How far before the first day data are asked for: a year of closes for the indicators."""

_OF_PRICES = {"no-prices", "no-close", "short-history", "outcome: missing", "outcome: delisted"}
"""Reasons for which a week gives no row that more prices take away."""

_EXAMPLE = 'make build SYMBOLS="AAPL MSFT" FROM=2025-01-01 TO=2026-10-30 DATA=folder'


def main(
    symbols: Annotated[str, typer.Option(envvar="FINGPT_ARG_SYMBOLS", help='"AAPL MSFT"')] = "",
    first: Annotated[str, typer.Option(envvar="FINGPT_ARG_FROM", help="YYYY-MM-DD")] = "",
    last: Annotated[str, typer.Option(envvar="FINGPT_ARG_TO", help="YYYY-MM-DD")] = "",
    sources: Annotated[
        str, typer.Option(envvar="FINGPT_ARG_SOURCES", help="a YAML file of sources and features")
    ] = "",
    data: Annotated[str, typer.Option(envvar="FINGPT_ARG_DATA", help="a folder of files")] = "",
) -> None:
    """Build a data set and print its address."""
    log.setup()
    environment = read_environment()

    def action() -> None:
        chosen = asked_symbols(symbols)
        span = _day(first, "FROM"), _day(last, "TO")
        if span[0] >= span[1]:
            raise ConfigError(f"FROM={first} is not before TO={last}: {_EXAMPLE}.")
        from fingpt.sources.selection import load_selection

        store = open_store(environment.store)
        with interrupt_on_signals():
            built = build(store, load_selection(sources, data), chosen, span)
        from fingpt.features.dataset import address

        typer.echo(address(store, built.id))

    sys.exit(guarded(action, debug=environment.debug))


def asked_symbols(text: str) -> tuple[str, ...]:
    """The symbols of SYMBOLS in order, each once; ConfigError for none, or for what is none."""
    from fingpt.forecast.request import checked_symbols

    for name in ("SYMBOL", "WATCHLIST"):
        if argument(name).strip():
            raise ConfigError(f"{name} is for make forecast; build takes SYMBOLS: {_EXAMPLE}.")
    words = split_words(text, "SYMBOLS")
    if not words:
        raise ConfigError(f"SYMBOLS names no symbol: {_EXAMPLE}.")
    return tuple(sorted(checked_symbols(words, "SYMBOLS")))


def build(
    store: ObjectStore, selection: Selection, symbols: tuple[str, ...], span: tuple[date, date]
) -> BuiltManifest:
    """The data set of `symbols` over the days `span`, built unless it is there; raises what its parts raise."""
    from fingpt.features.config import parse_features
    from fingpt.features.dataset import Recipe, find_whole
    from fingpt.runs.local import ROOT
    from fingpt.runs.run import code_digest

    features = parse_features(selection.features, "features")
    if selection.allow_missing:
        features = features.model_copy(update={"allow_degraded": True})
    _require_known(span, features.calendar)
    snapshot = opened(store, selection, features, symbols, span)
    answer, answers_sha256 = answers(store, features)
    recipe = Recipe(
        code=code_digest(ROOT),
        raw=snapshot.digest,
        symbols=symbols,
        first=span[0],
        last=span[1],
        features=features,
        answers_sha256=answers_sha256,
    )
    there = None if features.answers.mode == "teacher" else find_whole(store, recipe.id)
    if there is not None:
        log.event("the data set is there already", id=there.id, rows=there.rows)
        return there
    with tempfile.TemporaryDirectory(prefix="fingpt-build-") as scratch:
        return _built(store, recipe, snapshot, answer, Path(scratch))


def _require_known(span: tuple[date, date], calendar: str) -> None:
    """ConfigError naming FROM or TO where the exchange's calendar does not reach, a year before FROM included."""
    from fingpt.sources.calendar import exchange

    days = exchange(calendar).days
    earliest = days[0] + _LOOK_BACK
    for name, day in zip(("FROM", "TO"), span, strict=True):
        if not earliest <= day <= days[-1]:
            raise ConfigError(
                f"{name}={day} is not within {earliest} to {days[-1]}, which is what the calendar {calendar} knows, a "
                "year of earlier closes included; choose a day in it."
            )


def opened(
    store: ObjectStore,
    selection: Selection,
    features: FeatureConfig,
    symbols: tuple[str, ...],
    span: tuple[date, date],
) -> Snapshot:
    """The snapshot that rows are built on; MissingInputError naming symbols that have no prices."""
    from fingpt.features.facts import kinds_of
    from fingpt.forecast.request import no_prices
    from fingpt.sources.fetching import Wanted
    from fingpt.sources.live.catalogue import LIVE
    from fingpt.sources.opening import Opener

    everybody = tuple(sorted({*symbols, *([features.benchmark] if features.benchmark else [])}))
    wanted = Wanted(kinds_of(features), everybody, span[0] - _LOOK_BACK, span[1])
    snapshot = Opener(store, LIVE).open(selection, wanted)
    if lacking := sorted(set(everybody) - set(snapshot.symbols())):
        raise no_prices(lacking, snapshot.symbols())
    return snapshot


def answers(store: ObjectStore, features: FeatureConfig) -> tuple[Answer, str]:
    """Who answers, and the hash of a file of answers (empty for others)."""
    from fingpt.config import local_path
    from fingpt.features.answers import import_answers
    from fingpt.features.rationale import rationale
    from fingpt.record import sha256_file

    chosen = features.answers
    if chosen.mode == "import":
        path = local_path(chosen.file)
        return import_answers(path), sha256_file(path)
    if chosen.mode == "teacher":
        from fingpt.config import source_key
        from fingpt.features.teacher import Teacher

        return Teacher(store, chosen, source_key("teacher")), ""
    return rationale, ""


def _built(
    store: ObjectStore, recipe: Recipe, snapshot: Snapshot, answer: Answer, scratch: Path
) -> BuiltManifest:
    from fingpt.features.dataset import ROWS, RowFile, store_built
    from fingpt.features.rows import week_closes, week_rows

    weeks = week_closes(recipe.first, recipe.last, recipe.features)
    hindsight = recipe.features.answers.hindsight
    with (
        RowFile(scratch / ROWS, hindsight=hindsight) as file,
        log.progress("build rows", len(weeks)) as meter,
    ):
        for week in weeks:
            file.take(week_rows(snapshot, recipe.symbols, week, recipe.features, answer))
            meter.advance()
    if not file.rows:
        why = "; ".join(f"{count} × {reason}" for reason, count in file.left.most_common())
        first = next(iter(file.first_left.values()), "")
        raise DataError(
            f"No row could be built from {len(weeks)} whole weeks between {recipe.first} and {recipe.last}"
            + (f" ({why}; first: {first.rstrip('.')})" if why else "")
            + ("; widen FROM and TO." if not why else _remedy(file, snapshot, recipe))
        )
    if recipe.features.answers.mode == "teacher":
        recipe = recipe.model_copy(update={"answers_sha256": file.answers_sha256})
    findings = checked(scratch / ROWS)
    manifest = manifest_of(recipe, snapshot, file, findings)
    store_built(store, file.path, manifest)
    log.event("data set built", id=manifest.id, rows=file.rows, weeks=len(file.weeks))
    for reason, count in file.left.most_common():
        log.warning("rows left out", reason=reason, count=count, first=file.first_left[reason])
    for warning in manifest.warnings:
        log.warning(warning)
    return manifest


def _remedy(file: RowFile, snapshot: Snapshot, recipe: Recipe) -> str:
    """What helps where no week gave a row, by the most frequent reason; the first one's sentence tells of others."""
    from fingpt.sources.records import Kind

    if file.left.most_common(1)[0][0] not in _OF_PRICES:
        return "."
    until = datetime.now(UTC)
    known = [snapshot.records(Kind.PRICE, symbol, before=until) for symbol in recipe.symbols]
    days = sorted(record.event_time.date() for records in known for record in records)
    if not days:
        return "; bring prices of these symbols."
    return (
        f". Prices of these symbols are there from {days[0]} to {days[-1]}, and a row needs those of the week before "
        "it and of its own: bring more prices, or choose FROM and TO within them."
    )


def checked(rows: Path) -> tuple[Finding, ...]:
    """What the leak linter finds in a file of rows; DataError when one of it is an error: nothing is stored then."""
    from fingpt.leaks import FAULTS
    from fingpt.prep.importer import import_rows
    from fingpt.prep.lint import lint
    from fingpt.prep.source import noted
    from fingpt.rows.readers import read_file

    findings = lint(import_rows(noted(rows, read_file(rows, "train")), 0.0).rows)
    for each in findings:
        if each.severity != "info":
            log.warning(f"leak linter: {each.rule}", count=each.count, of=each.of, text=each.text)
    errors = [each for each in findings if each.severity == "error"]
    if errors:
        named = " ".join(
            f"{each.rule} in {each.count} of {each.of} rows: {each.text} {FAULTS[each.rule].advice} "
            f"{_blamed(rows, each)}".rstrip()
            for each in errors
        )
        raise DataError(
            f"The sources tell what they could not have known, so nothing was built. {named}"
        )
    return findings


def _blamed(rows: Path, found: Finding) -> str:
    """What the first row that a finding names rests on, and what to do; empty for a finding that names none."""
    from fingpt.features.blame import remedy
    from fingpt.features.dataset import facts_of

    facts = facts_of(rows, found.example)
    return "" if facts is None else remedy(found.rule, found.text, facts)


def manifest_of(
    recipe: Recipe, snapshot: Snapshot, file: RowFile, findings: tuple[Finding, ...]
) -> BuiltManifest:
    """The manifest of a finished file of rows."""
    from fingpt.features.dataset import ROWS, BuiltManifest
    from fingpt.sources.universe import warnings
    from fingpt.storage.files import file_ref

    return BuiltManifest(
        id=recipe.id,
        recipe=recipe,
        rows=file.rows,
        weeks=len(file.weeks),
        labels=dict(sorted(file.labels.items())),
        left=dict(sorted(file.left.items())),
        sources=tuple(sorted(file.sources)),
        degraded=snapshot.degraded,
        degraded_rows=file.degraded_rows,
        hindsight=recipe.features.answers.hindsight,
        policy=snapshot.policy,
        warnings=tuple(warnings(recipe.symbols, recipe.first, recipe.last)),
        findings=tuple(each.model_dump(mode="json") for each in findings),
        rows_sha256=file.rows_sha256,
        file=file_ref(file.path, ROWS),
    )


def _day(text: str, name: str) -> date:
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{name}={text[:40]!r} is no day; write YYYY-MM-DD, as in {_EXAMPLE}."
        ) from None
    if found > datetime.now(UTC).date():
        raise ConfigError(f"{name}={text} lies in the future; rows need weeks that are over.")
    return found


if __name__ == "__main__":
    typer.run(main)
