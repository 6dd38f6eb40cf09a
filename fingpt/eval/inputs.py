"""The inputs of an evaluation, checked before any weights are loaded: data set, adapter and base fit together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fingpt.errors import DataError
from fingpt.models import ModelSpec, spec
from fingpt.prompts.examples import Example, decode_jsonl
from fingpt.prompts.families import template_sha256
from fingpt.record import FileRef, tree_sha256
from fingpt.runs.manifest import (
    AdapterManifest,
    BaseManifest,
    DatasetManifest,
    PrepManifest,
    TrainManifest,
)
from fingpt.runs.run import (
    Stage,
    adapter_manifest_key,
    adapter_prefix,
    base_manifest_key,
    dataset_manifest_key,
    dataset_prefix,
    stage_prefix,
)
from fingpt.runs.stage import Context
from fingpt.storage import download_tree, read_verified
from fingpt.weights.base import read_base_manifest

_ADAPTER = "adapter/"


@dataclass(frozen=True)
class Adapter:
    """An adapter's files, named `adapter/…` below `prefix`, and the template it is asked with.

    `foreign`: it was trained elsewhere, on rows and with a template that nobody knows here.
    """

    prefix: str
    files: tuple[FileRef, ...]
    template_sha256: str
    foreign: bool = False


@dataclass(frozen=True)
class Inputs:
    """Verified inputs of one evaluation."""

    spec: ModelSpec
    base: BaseManifest
    adapter: Adapter
    dataset: DatasetManifest

    @property
    def adapter_sha256(self) -> str:
        """Identity of the adapter: hash over its files' names and hashes."""
        return tree_sha256((file.name, file.sha256) for file in self.adapter.files)


def read_inputs(ctx: Context) -> Inputs:
    """Read the manifests that eval needs; DataError names the first pair that does not fit."""
    foreign = ctx.run.config.eval.adapter
    prep = ctx.previous(Stage.PREP, PrepManifest)
    train = None if foreign else ctx.previous(Stage.TRAIN, TrainManifest)
    model = spec(ctx.run.config.model)
    read_base_manifest(ctx.store, model)  # says how to get the weights when they are not there
    base = ctx.read(BaseManifest, base_manifest_key(model.base_prefix))
    key = dataset_manifest_key(prep.dataset)
    dataset = ctx.read(DatasetManifest, key)
    if ctx.inputs[key] != prep.dataset_sha256:
        raise DataError(
            f"{key} is not the data set that prep made for {ctx.run.id}: it was changed; run prep again."
        )
    if train is not None:
        check_adapter(train, base, model, prep.dataset)
    adapter = _trained(ctx, train) if train else _foreign(ctx, str(foreign), model)
    return Inputs(model, base, adapter, dataset)


def _trained(ctx: Context, train: TrainManifest) -> Adapter:
    """The adapter that stage train of this run made."""
    files = tuple(file for file in train.files if file.name.startswith(_ADAPTER))
    if not files:
        raise DataError(f"Stage train of {ctx.run.id} names no adapter file; run train again.")
    return Adapter(stage_prefix(ctx.run.id, Stage.TRAIN), files, train.template_sha256)


def _foreign(ctx: Context, prefix: str, model: ModelSpec) -> Adapter:
    """The foreign adapter that submit has checked and frozen; it is asked with our template."""
    manifest = ctx.read(AdapterManifest, adapter_manifest_key(prefix))
    there = (adapter_prefix(manifest.id), manifest.base, manifest.revision, manifest.lora)
    if there != (prefix, model.base, model.revision, ctx.run.config.train.lora):
        raise DataError(
            f"{prefix} is not the adapter that {ctx.run.id} was submitted with; submit it again."
        )
    return Adapter(prefix, manifest.files, template_sha256(model), foreign=True)


def check_adapter(
    adapter: TrainManifest, base: BaseManifest, model: ModelSpec, dataset: str
) -> None:
    """DataError when the adapter was trained on another base, with another template or on another data set."""
    pairs = (
        ("base model", adapter.base, f"{model.base}@{model.revision}"),
        ("base weights", adapter.base_sha256, base.sha256),
        ("chat template", adapter.template_sha256, template_sha256(model)),
        ("data set", adapter.dataset, dataset),
    )
    for what, trained, here in pairs:
        if trained != here:
            raise DataError(
                f"The adapter was trained with another {what} ({trained[:40]}) than the one here ({here[:40]}); "
                "run train again, or point eval at the run that trained it."
            )


def read_split(ctx: Context, dataset: DatasetManifest, split: str) -> list[Example]:
    """Examples of one split, verified; DataError when the data set has no such rows."""
    name = f"{split}.jsonl"
    ref = next((file for file in dataset.files if file.name == name), None)
    if ref is None:
        raise DataError(f"Data set {dataset.id} has no {name}; run prep again.")
    examples = decode_jsonl(
        read_verified(ctx.store, f"{dataset_prefix(dataset.id)}/{name}", ref.sha256)
    )
    if not examples:
        raise DataError(
            f"The {split} split of data set {dataset.id} is empty: there is nothing to score."
        )
    return examples


def read_validation(ctx: Context, dataset: DatasetManifest) -> list[Example]:
    """Examples of the validation split, verified; none where the data set has no such weeks."""
    return read_split(ctx, dataset, "validation") if dataset.counts.get("validation") else []


def fetch_adapter(ctx: Context, inputs: Inputs) -> Path:
    """The adapter's files in the scratch folder, each checked against its sha256."""
    download_tree(ctx.store, inputs.adapter.prefix, inputs.adapter.files, ctx.scratch)
    return ctx.scratch / "adapter"
