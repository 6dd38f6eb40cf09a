"""The prep stage: source → examples → split → findings → files, page and manifest under `datasets/<id>/`.

The data set's id is the hash of its manifest without the page, so equal rows under equal rules are one data set, stored
once. The manifest is written last: without it there is no data set.
"""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path

from fingpt import log
from fingpt.leaks import FAULTS
from fingpt.prep.blocks import weeks_of
from fingpt.prep.charts import draw
from fingpt.prep.importer import Imported, import_rows
from fingpt.prep.lint import VERSION as LINT_VERSION
from fingpt.prep.lint import lint
from fingpt.prep.lint.allow import allowed_leaks, refuse
from fingpt.prep.page import Page, render_page, shown_rows
from fingpt.prep.shared import taken_over
from fingpt.prep.source import read_rows
from fingpt.prep.split import Split, split_rows
from fingpt.prep.spool import Spool
from fingpt.prep.views import model_views
from fingpt.prompts.examples import encode_line
from fingpt.record import FileRef, canonical_json, sha256_bytes
from fingpt.rows.raw_rows import encode_rejects
from fingpt.runs.manifest import DatasetManifest, Finding, PrepManifest, encode
from fingpt.runs.run import dataset_manifest_key, dataset_prefix
from fingpt.runs.stage import Context
from fingpt.storage import put
from fingpt.storage.files import file_ref

PAGE = "data.html"
_REJECTS = "rejects.jsonl"


def body(ctx: Context) -> PrepManifest:
    """Store the data set of `ctx.run` and return the stage's manifest.

    Raises ConfigError, DataError (also for a leak that is not allowed), MissingInputError, StorageError,
    TransientError.
    """
    made = taken_over(ctx)
    if made is not None:
        return made
    config, clock = ctx.run.config.prep, time.monotonic()
    stream = read_rows(config.source, ctx.store, ctx.scratch)
    imported = import_rows(stream, config.max_reject_rate, Spool(ctx.scratch))
    log.event("rows read", rows=imported.read, refused=len(imported.rejects), source=config.source)
    seconds = {"read": time.monotonic() - clock}

    clock = time.monotonic()
    split = split_rows(imported.rows, config, ctx.run.config.seed)
    findings = lint(split.parts(), imported.rows, allowed_leaks(config))
    seconds["split_and_lint"] = time.monotonic() - clock
    _log_findings(split, findings)
    refuse(findings)

    clock = time.monotonic()
    files = _written(ctx.scratch / "dataset", split, imported)
    draft = _describe(config.source, imported, split, findings, files)
    manifest_bytes = _store(ctx, draft, files, split, imported)
    seconds["write"] = time.monotonic() - clock
    return PrepManifest.model_validate(
        {
            **ctx.identity(),
            "dataset": draft.id,
            "dataset_sha256": sha256_bytes(manifest_bytes),
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "versions": {
                "python": platform.python_version(),
                "pyarrow": version("pyarrow"),
                "lint": str(LINT_VERSION),
            },
            "warnings": _warnings(split, findings),
        }
    )


def _written(folder: Path, split: Split, imported: Imported) -> tuple[Path, ...]:
    """The data set's files, written row by row."""
    folder.mkdir(exist_ok=True)
    for name, part in split.parts().items():
        with (folder / f"{name}.jsonl").open("wb") as file:
            file.writelines(encode_line(example) for example in part)
    (folder / _REJECTS).write_bytes(encode_rejects(imported.rejects))
    return tuple(folder / name for name in (*(f"{part}.jsonl" for part in split.parts()), _REJECTS))


def _log_findings(split: Split, findings: tuple[Finding, ...]) -> None:
    counts = {name: len(part) for name, part in split.parts().items()}
    log.event(
        "split",
        rule=split.rule,
        embargo_weeks=split.embargo_weeks,
        **counts,
        left_out=sum(split.dropped.values()),
    )
    for found in findings:
        if found.severity != "info":
            emit = log.warning if found.severity == "error" else log.event
            emit(f"{found.rule} ({found.split})", rows=f"{found.count} of {found.of}")
            if found.severity == "error" and not found.allowed:
                log.warning(f"{found.text} {FAULTS[found.rule].advice}")


def _describe(
    source: str,
    imported: Imported,
    split: Split,
    findings: tuple[Finding, ...],
    files: tuple[Path, ...],
) -> DatasetManifest:
    """The manifest without its page, under the id that its own content gives."""
    notes: dict[str, int] = {}
    for part in split.parts().values():
        for example in part:
            for note in example.notes:
                notes[note] = notes.get(note, 0) + 1
    unnamed = DatasetManifest(
        id="",
        source=source,
        split_rule=split.rule,
        leaky=split.leaky,
        counts={name: len(part) for name, part in split.parts().items()},
        weeks={name: weeks_of(part) for name, part in split.parts().items()},
        dates={
            name: (min(one.start for one in part), max(one.end for one in part))
            for name, part in split.parts().items()
            if part
        },
        embargo_weeks=split.embargo_weeks,
        origin=split.origin,
        origins=split.origins,
        rejects=imported.reasons,
        dropped=split.dropped,
        notes=notes,
        findings=findings,
        files=tuple(file_ref(path, path.name) for path in files),
    )
    named = sha256_bytes(canonical_json([LINT_VERSION, unnamed.model_dump(mode="json")]))[:16]
    return unnamed.model_copy(update={"id": named})


def _store(
    ctx: Context,
    draft: DatasetManifest,
    files: tuple[Path, ...],
    split: Split,
    imported: Imported,
) -> bytes:
    """Write files, page and, last, the manifest; return the manifest's bytes."""
    prefix, key = dataset_prefix(draft.id), dataset_manifest_key(draft.id)
    for path in files:
        ctx.store.upload(path, f"{prefix}/{path.name}")
    page = _store_page(ctx, draft, split, imported)
    ref = FileRef(name=PAGE, size=len(page), sha256=sha256_bytes(page))
    manifest_bytes = encode(draft.model_copy(update={"files": (*draft.files, ref)}))
    put(ctx.store, key, manifest_bytes)
    log.event("data set ready", id=draft.id, page=f"{ctx.store.uri}/{prefix}/{PAGE}")
    return manifest_bytes


def _store_page(ctx: Context, draft: DatasetManifest, split: Split, imported: Imported) -> bytes:
    """The bytes of the data set's page, written now or by an earlier run.

    An existing page is kept. If it was written before this run's base was in the store, it does not show this model;
    then a page that does is stored beside it.
    """
    prefix, model = dataset_prefix(draft.id), ctx.run.config.model
    key, beside = f"{prefix}/{PAGE}", f"{prefix}/data-{model}.html"
    if not ctx.store.exists(key):
        page = _page(ctx, draft, split, imported)
        return page if ctx.store.create(key, page) else ctx.store.read(key)
    stored = ctx.store.read(key)
    if not _shows(stored, model) and not ctx.store.exists(beside):
        page = _page(ctx, draft, split, imported)
        if _shows(page, model):
            ctx.store.create(beside, page)
    return stored


def _shows(page: bytes, model: str) -> bool:
    return f'data-model="{model}"'.encode() in page


def _page(ctx: Context, draft: DatasetManifest, split: Split, imported: Imported) -> bytes:
    shown = shown_rows(split.parts())
    views = model_views(ctx.store, shown, ctx.scratch, ctx.run.config.train.max_tokens)
    return render_page(
        Page(draft, shown, views, draw(split.parts()), imported.rejects, imported.read)
    ).encode()


def _warnings(split: Split, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    texts = [
        f"{found.rule} ({found.split}): {found.text}"
        + (f" Allowed: {found.allowed}" if found.allowed else "")
        for found in findings
        if found.severity == "error"
    ]
    if split.leaky:
        texts.insert(0, "Random split: test answers are printed inside training prompts.")
    return tuple(texts)
