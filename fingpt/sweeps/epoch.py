"""How many tokens one epoch of a study has: what its rungs are counted in, recorded once.

The rows are those of the first trial's data set, rendered as a training of the base configuration renders them; the
tokenizer alone is fetched, no weights. Needs the libraries of prep.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import PositiveInt

from fingpt.config import RunConfig
from fingpt.errors import DataError, StorageError
from fingpt.models import spec
from fingpt.prompts.examples import decode_jsonl
from fingpt.record import Frozen, sha256_bytes
from fingpt.runs.manifest import SCHEMA_VERSION, DatasetManifest, PrepManifest, decode
from fingpt.runs.run import Run, Stage, dataset_manifest_key, dataset_prefix
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore, download_tree
from fingpt.sweeps.records import read, sweep_prefix, write
from fingpt.weights.base import read_base_manifest

_ROWS, _TOKENIZER = "train.jsonl", "tokenizer.json"


class Epoch(Frozen):
    """Rows of the train split of data set `dataset`, and their tokens: prompts and answers, without padding."""

    schema_version: int = SCHEMA_VERSION
    dataset: str
    rows: PositiveInt
    tokens: PositiveInt

    def of(self, config: RunConfig) -> float:
        """Tokens that a whole training of `config` sees, about: its last step may have fewer rows."""
        return self.tokens * config.train.steps(self.rows)[1] / self.steps(config)

    def steps(self, config: RunConfig) -> int:
        """Optimizer steps of one epoch."""
        return config.train.steps(self.rows)[0]


def epoch_key(sweep_id: str, model: str) -> str:
    """The record of one epoch of a study."""
    return f"{sweep_prefix(sweep_id)}/{model}/epoch.json"


def study_epoch(store: ObjectStore, sweep_id: str, base: RunConfig, first: Run) -> Epoch:
    """The epoch of the study of `base`'s model, counted once from the data set that `first` has prepared.

    Raises DataError when that has no rows to train on, and what the store raises.
    """
    key = epoch_key(sweep_id, base.model)
    found = read(store, Epoch, key)
    if found is None:
        found = _count(store, base, first)
        write(store, key, found)
    return found


def _count(store: ObjectStore, base: RunConfig, first: Run) -> Epoch:
    from fingpt.prompts.chat import load_tokenizer, render_packed

    model = spec(base.model)
    dataset = _dataset(store, first)
    files = tuple(file for file in dataset.files if file.name == _ROWS)
    weights = read_base_manifest(store, model)
    with tempfile.TemporaryDirectory(prefix="fingpt-") as scratch:
        folder = Path(scratch)
        download_tree(store, dataset_prefix(dataset.id), files, folder)
        named = tuple(file for file in weights.files if file.name == _TOKENIZER)
        download_tree(store, model.base_prefix, named, folder)
        tokenizer = load_tokenizer(folder)
        rows = decode_jsonl((folder / _ROWS).read_bytes()) if files else []
        rendered = render_packed(model, tokenizer, rows, base.train.max_tokens)
        tokens = sum(len(row.prompt_ids) + len(row.answer_ids) for row in rendered)
    if not tokens:
        raise DataError(
            f"Data set {dataset.id} has no rows to train on; check the split and the limit of prep."
        )
    return Epoch(dataset=dataset.id, rows=len(rows), tokens=tokens)


def _dataset(store: ObjectStore, run: Run) -> DatasetManifest:
    prep = finished(store, run, Stage.PREP)
    if not isinstance(prep, PrepManifest):
        raise StorageError(f"The prep of {run.id} has ended and is not there any more.")
    key = dataset_manifest_key(prep.dataset)
    data = store.read(key)
    if sha256_bytes(data) != prep.dataset_sha256:
        raise DataError(
            f"Data set {prep.dataset} is not the one that prep of {run.id} finished with; search in a new store."
        )
    return decode(DatasetManifest, data, key)
