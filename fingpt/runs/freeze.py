"""Freeze a configuration and its local source files into the bucket, so that a run is its bytes.

A local source is copied under `raw/<hash of its bytes>/` and named so in the configuration. A run's id therefore
depends on the rows and not on the folder they came from, and a stage can run where that folder cannot be reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fingpt import log
from fingpt.config import RunConfig
from fingpt.errors import MissingInputError, RunConflictError
from fingpt.record import sha256_bytes, sha256_file, tree_sha256
from fingpt.runs.run import SOURCE_FILES, SPLITS, Run, raw_prefix, run_key
from fingpt.storage import ObjectStore

SAMPLE = Path(__file__).parent.parent / "synthetic" / "sample"
"""Folder of the synthetic rows that the source `sample` names."""


def freeze(store: ObjectStore, config: RunConfig, images: Mapping[str, str]) -> Run:
    """The run of `config` computed by `images` (stage → image, or the digest of local code), frozen into the store.

    Raises what `freeze_source` and `create_run` raise.
    """
    run = Run.of(freeze_source(store, config), dict(images))
    create_run(store, run)
    return run


def freeze_source(store: ObjectStore, config: RunConfig) -> RunConfig:
    """`config` with its source in the bucket: local files are uploaded once, remote sources stay as they are.

    Raises MissingInputError when the path does not exist or holds no split file.
    """
    source = config.prep.source
    if source.startswith(("s3://", "hub:", "raw/")):
        return config
    files = source_files(SAMPLE if source == "sample" else Path(source).expanduser())
    source_id = tree_sha256((name, sha256_file(path)) for name, path in files)[:16]
    for name, path in files:
        store.upload(path, f"{raw_prefix(source_id)}/{name}")
    prep = config.prep.model_copy(update={"source": raw_prefix(source_id)})
    return config.model_copy(update={"prep": prep})


def source_files(path: Path) -> list[tuple[str, Path]]:
    """The split files of a local source as (name in the bucket, path).

    A folder gives its `train|validation|test` files, a single file of any other name is the train split.
    """
    if path.is_file():
        if f"train{path.suffix}" not in SOURCE_FILES:
            raise MissingInputError(f"Source {path} is neither .parquet nor .jsonl.")
        return [(f"{path.stem if path.stem in SPLITS else 'train'}{path.suffix}", path)]
    if not path.is_dir():
        raise MissingInputError(
            f"Source {path} does not exist; give a folder with train.parquet and test.parquet, one .parquet or .jsonl "
            "file, s3://bucket/prefix, hub:owner/name@revision, or 'sample'."
        )
    files = [(name, path / name) for name in SOURCE_FILES if (path / name).is_file()]
    if not files:
        raise MissingInputError(
            f"Source folder {path} holds no train.parquet, test.parquet, train.jsonl or test.jsonl."
        )
    return files


def create_run(store: ObjectStore, run: Run) -> None:
    """Create run.json; the same bytes there already mean a resume, others raise RunConflictError naming both hashes."""
    key, data = run_key(run.id), run.encode()
    if store.create(key, data):
        log.event("run created", run=run.id, store=store.uri)
        return
    there = store.read(key)
    if not run.is_encoded_as(there):
        raise RunConflictError(
            f"{key} holds another specification (sha256 {sha256_bytes(there)[:12]}, yours {sha256_bytes(data)[:12]}); "
            "nothing was changed: use another store, or remove that run first."
        )
    log.event("run exists, resuming", run=run.id, store=store.uri)
