"""Collect a run: copies of what it has reached, from the store into a folder, each verified by its record.

The folder is laid out like the store below `runs/<id>/`, with the manifests of data set and base and the reports that
name the run beside that; an adapter gets what other programs need of it (adapter_card.py). Files are downloaded to a
temporary folder and appear once all are complete. Rows, checkpoints and base weights are not copied. Nothing is
overwritten.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from fingpt import log
from fingpt.errors import ConfigError, MissingInputError
from fingpt.models import spec
from fingpt.record import FileRef, Frozen, sha256_bytes, sha256_file
from fingpt.runs.adapter_card import CARD, Origin, companions
from fingpt.runs.manifest import (
    BaseManifest,
    DatasetManifest,
    EvalManifest,
    PrepManifest,
    ReportManifest,
    StageManifest,
    TrainManifest,
    decode,
)
from fingpt.runs.run import (
    Run,
    Stage,
    base_manifest_key,
    complete_key,
    dataset_manifest_key,
    report_prefix,
    run_key,
    run_prefix,
)
from fingpt.runs.stage import finished, load_run
from fingpt.runs.state import report_keys, require_run
from fingpt.storage import ObjectStore, check_key, download_tree
from fingpt.storage.files import require_space, translate_os_errors

ADAPTER = "adapter/"

Manifests = Mapping[Stage, StageManifest]


def collect(store: ObjectStore, run_id: str, folder: Path, *, adapter: bool) -> Path:
    """Copy what the run has reached into `folder`, the adapter only if asked; returns the folder.

    Stages that have not finished are logged. Raises MissingInputError when there is nothing at all, ConfigError when
    `folder` has other bytes under a name, and what `download_tree` raises; the folder is then as it was.
    """
    require_run(store, run_id)
    run = load_run(store, run_id)
    every = {stage: finished(store, run, stage) for stage in run.stages}
    found = {stage: manifest for stage, manifest in every.items() if manifest is not None}
    if not found:
        raise MissingInputError(
            f"No stage of {run_id} has finished, so there is nothing to collect; how it is doing: "
            f"make status RUN={run_id}."
        )
    for stage in [stage for stage in run.stages if stage not in found]:
        log.warning(f"Stage {stage} has not finished; what it makes is not collected.", run=run_id)
    own = list(_own(store, run, found, adapter=adapter))
    shared = list(_shared(store, run, found))
    made = _companions(store, run, found) if adapter else {}
    new = {name: data for name, data in made.items() if not _is_kept(folder, name, data)}
    missing = [[ref for ref in refs if not _is_there(folder, ref)] for refs in (own, shared)]
    _download(store, list(zip((run_prefix(run_id), ""), missing, strict=True)), new, folder)
    log.event("collected", run=run_id, files=len(own) + len(shared) + len(made), folder=str(folder))
    return folder


def _own(store: ObjectStore, run: Run, found: Manifests, *, adapter: bool) -> Iterator[FileRef]:
    """The run's own files, named below its prefix."""
    prefix = f"{run_prefix(run.id)}/"
    for key in [run_key(run.id), *(complete_key(run.id, stage) for stage in found)]:
        yield _record(store, key, key.removeprefix(prefix))
    for stage, manifest in found.items():
        if isinstance(manifest, TrainManifest | EvalManifest):
            wanted = [f for f in manifest.files if adapter or not f.name.startswith(ADAPTER)]
            yield from _below(str(stage), wanted)


def _shared(store: ObjectStore, run: Run, found: Manifests) -> Iterator[FileRef]:
    """What other runs may share, named by its whole key: manifests of data set and base, reports."""
    kinds: dict[str, type[Frozen]] = {
        base_manifest_key(spec(run.config.model).base_prefix): BaseManifest
    }
    prep = found.get(Stage.PREP)
    if isinstance(prep, PrepManifest):
        kinds[dataset_manifest_key(prep.dataset)] = DatasetManifest
    for key, kind in kinds.items():
        if store.exists(key):
            decode(kind, store.read(key), key)
            yield _record(store, key, key)
    for key in report_keys(store, run.id):
        report = decode(ReportManifest, store.read(key), key)
        yield _record(store, key, key)
        yield from _below(report_prefix(report.id), report.files)


def _companions(store: ObjectStore, run: Run, found: Manifests) -> dict[str, bytes]:
    """What is made to lie beside the adapter, by its name in the copy; nothing where no adapter is trained yet."""
    train, evaluation = found.get(Stage.TRAIN), found.get(Stage.EVAL)
    if not isinstance(train, TrainManifest):
        return {}
    key = dataset_manifest_key(train.dataset)
    dataset = decode(DatasetManifest, store.read(key), key) if store.exists(key) else None
    origin = Origin(
        run, train, dataset, evaluation if isinstance(evaluation, EvalManifest) else None
    )
    if not origin.has_template:
        log.warning(
            "The adapter was trained with another chat template than this version has, so none is written.",
            run=run.id,
        )
    return {f"{Stage.TRAIN}/{ADAPTER}{name}": data for name, data in companions(origin).items()}


def _is_kept(folder: Path, name: str, data: bytes) -> bool:
    """Whether the folder has the file already; a model card may have been written by a person, or before eval."""
    ref = FileRef(name=name, size=len(data), sha256=sha256_bytes(data))
    try:
        return _is_there(folder, ref)
    except ConfigError:
        if not name.endswith(f"/{CARD}"):
            raise
    log.warning(f"{folder / name} has another text and is kept; remove it to have it written anew.")
    return True


def _record(store: ObjectStore, key: str, name: str) -> FileRef:
    data = store.read(key)
    return FileRef(name=name, size=len(data), sha256=sha256_bytes(data))


def _below(prefix: str, files: Iterable[FileRef]) -> Iterator[FileRef]:
    return (file.model_copy(update={"name": f"{prefix}/{file.name}"}) for file in files)


def _is_there(folder: Path, ref: FileRef) -> bool:
    """Whether the folder has the file; ConfigError when it has other bytes under that name."""
    check_key(ref.name)
    path = folder / ref.name
    with translate_os_errors(path):
        if not path.exists():
            return False
        if path.is_file() and sha256_file(path) == ref.sha256:
            return True
    raise ConfigError(
        f"{path} is there already with other bytes than the store has; nothing was changed: name another folder with "
        "OUT=, or remove that file."
    )


def _download(
    store: ObjectStore,
    parts: Sequence[tuple[str, Sequence[FileRef]]],
    made: Mapping[str, bytes],
    folder: Path,
) -> None:
    """Download each part's files, stored under its prefix, and write those made here; then move all into `folder`."""
    refs = [ref for _, files in parts for ref in files]
    total = sum(ref.size for ref in refs)
    whole = folder.resolve()  # `..` and `.` have no name to put a folder beside
    aside = whole.parent / f".{whole.name}-{uuid4().hex[:8]}.part"
    try:
        require_space(folder, total)
        with log.progress("collect", total) as meter:
            for prefix, files in parts:
                download_tree(store, prefix, files, aside, meter)
        with translate_os_errors(folder):
            for name, data in made.items():
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).write_bytes(data)
            for name in (*(ref.name for ref in refs), *made):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (aside / name).rename(folder / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
