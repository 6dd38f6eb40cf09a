"""Building: from a selection of sources to a stored data set, or the sentence that says why there is none.

Raw data are brought into the store first; the rows rest on them alone, go through the leak linter, and appear whole
or not at all. What was built already is found by the recipe's hash.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from fingpt import log
from fingpt.built.dataset import ROWS, BuiltManifest, Recipe, RowFile, find_whole, store_built
from fingpt.built.linted import linted
from fingpt.config import local_path, source_key
from fingpt.errors import ConfigError, DataError
from fingpt.features.answers import import_answers
from fingpt.features.config import FeatureConfig, parse_features
from fingpt.features.facts import kinds_of
from fingpt.features.rationale import rationale
from fingpt.features.rows import Answer, rows_of, week_closes
from fingpt.features.teacher import Teacher
from fingpt.record import sha256_file
from fingpt.runs.local import ROOT
from fingpt.runs.run import code_digest
from fingpt.sources.calendar import exchange
from fingpt.sources.fetching import Wanted
from fingpt.sources.live.catalogue import LIVE
from fingpt.sources.opening import Opener
from fingpt.sources.policy import UsagePolicy
from fingpt.sources.records import Kind
from fingpt.sources.selection import Selection
from fingpt.sources.snapshot import Snapshot
from fingpt.sources.symbols import no_prices
from fingpt.sources.universe import warnings
from fingpt.storage import ObjectStore
from fingpt.storage.files import file_ref

_LOOK_BACK = timedelta(days=380)
"""How far before the first day data are asked for: a year of closes for the indicators."""

_OF_PRICES = {"no-prices", "no-close", "short-history", "outcome: missing", "outcome: delisted"}
"""Reasons for which a week gives no row that more prices take away."""


def build(
    store: ObjectStore, selection: Selection, symbols: tuple[str, ...], span: tuple[date, date]
) -> BuiltManifest:
    """The data set of `symbols` over the days `span`, built unless it is there; raises what its parts raise."""
    features = parse_features(selection.features, selection.where)
    if selection.allow_missing:
        features = features.model_copy(update={"allow_degraded": True})
    _require_known(span, features.calendar)
    snapshot = _opened(store, selection, features, symbols, span)
    answer, answers_sha256 = _answers(store, features)
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
        file = _written(recipe, snapshot, answer, Path(scratch) / ROWS)
        policy, degraded = snapshot.policy, snapshot.degraded
        del snapshot  # the linter needs the room of the records
        return _stored(store, recipe, file, policy, degraded)


def _require_known(span: tuple[date, date], calendar: str) -> None:
    """ConfigError naming FROM or TO where the exchange's calendar does not reach, a year before FROM included."""
    days = exchange(calendar).days
    earliest = days[0] + _LOOK_BACK
    for name, day in zip(("FROM", "TO"), span, strict=True):
        if not earliest <= day <= days[-1]:
            raise ConfigError(
                f"{name}={day} is not within {earliest} to {days[-1]}, which is what the calendar {calendar} knows, a "
                "year of earlier closes included; choose a day in it."
            )


def _opened(
    store: ObjectStore,
    selection: Selection,
    features: FeatureConfig,
    symbols: tuple[str, ...],
    span: tuple[date, date],
) -> Snapshot:
    """The snapshot that rows are built on; MissingInputError naming symbols that have no prices."""
    everybody = tuple(sorted({*symbols, *([features.benchmark] if features.benchmark else [])}))
    wanted = Wanted(kinds_of(features), everybody, span[0] - _LOOK_BACK, span[1])
    snapshot = Opener(store, LIVE).open(selection, wanted)
    if lacking := sorted(set(everybody) - set(snapshot.symbols())):
        raise no_prices(lacking, snapshot.symbols())
    return snapshot


def _answers(store: ObjectStore, features: FeatureConfig) -> tuple[Answer, str]:
    """Who answers, and the hash of a file of answers (empty for others)."""
    chosen = features.answers
    if chosen.mode == "import":
        path = local_path(chosen.file)
        return import_answers(path), sha256_file(path)
    if chosen.mode == "teacher":
        return Teacher(store, chosen, source_key("teacher")), ""
    return rationale, ""


def _written(recipe: Recipe, snapshot: Snapshot, answer: Answer, path: Path) -> RowFile:
    """The rows of all weeks in a finished file; DataError when there is none, with the reasons."""
    weeks = week_closes(recipe.first, recipe.last, recipe.features)
    with (
        RowFile(path, hindsight=recipe.features.answers.hindsight) as file,
        log.progress("build rows", len(weeks) * len(recipe.symbols)) as meter,
    ):
        file.take(rows_of(snapshot, recipe.symbols, weeks, recipe.features, answer, meter.advance))
    if not file.rows:
        why = "; ".join(f"{count} × {reason}" for reason, count in file.left.most_common())
        first = next(iter(file.first_left.values()), "")
        raise DataError(
            f"No row could be built from {len(weeks)} whole weeks between {recipe.first} and {recipe.last}"
            + (f" ({why}; first: {first.rstrip('.')})" if why else "")
            + ("; widen FROM and TO." if not why else _remedy(file, snapshot, recipe))
        )
    return file


def _stored(
    store: ObjectStore,
    recipe: Recipe,
    file: RowFile,
    policy: UsagePolicy,
    degraded: Mapping[str, str],
) -> BuiltManifest:
    """The manifest of the rows, once the linter has passed them and both are in the store."""
    if recipe.features.answers.mode == "teacher":
        recipe = recipe.model_copy(update={"answers_sha256": file.answers_sha256})
    findings = linted(file.path)
    manifest = BuiltManifest(
        id=recipe.id,
        recipe=recipe,
        rows=file.rows,
        weeks=len(file.weeks),
        labels=dict(sorted(file.labels.items())),
        left=dict(sorted(file.left.items())),
        sources=tuple(sorted(file.sources)),
        degraded=degraded,
        degraded_rows=file.degraded_rows,
        hindsight=recipe.features.answers.hindsight,
        policy=policy,
        warnings=tuple(warnings(recipe.symbols, recipe.first, recipe.last)),
        findings=tuple(each.model_dump(mode="json") for each in findings),
        rows_sha256=file.rows_sha256,
        file=file_ref(file.path, ROWS),
    )
    store_built(store, file.path, manifest)
    log.event("data set built", id=manifest.id, rows=file.rows, weeks=len(file.weeks))
    for reason, count in file.left.most_common():
        log.warning("rows left out", reason=reason, count=count, first=file.first_left[reason])
    for warning in manifest.warnings:
        log.warning(warning)
    return manifest


def _remedy(file: RowFile, snapshot: Snapshot, recipe: Recipe) -> str:
    """What helps where no week gave a row, by the most frequent reason; the first one's sentence tells of others."""
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
