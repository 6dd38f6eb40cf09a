"""The Sweep: a search frozen into the bucket, and which run a trial of it is.

Keys and records of what it leaves are those of records.py, which are named here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fingpt import log
from fingpt.config import RunConfig, parse_config
from fingpt.errors import ConfigError, MissingInputError, StorageError, nearest
from fingpt.record import Frozen, canonical_json, sha256_bytes
from fingpt.runs.manifest import SCHEMA_VERSION, decode
from fingpt.runs.run import Run, run_key
from fingpt.storage import ObjectStore
from fingpt.storage.keys import is_key
from fingpt.sweeps.definition import Settings, SweepDefinition
from fingpt.sweeps.records import (
    SWEEPS,
    Ask,
    SweepManifest,
    complete_key,
    read,
    sweep_key,
    write,
)

SCORED: dict[str, Any] = {"eval.split": "validation", "eval.answer_rows": None}
"""What trials are evaluated by for their labels: answers, which the base may ask for, are the finals' alone."""


class Sweep(Frozen):
    """A frozen search: `id` is `<name of the space>-<8 hex>` of all the rest, `sha256` the whole hash of that.

    `bases`: model → the configuration that trials start from, with its rows frozen (`raw/<id>`), so the default
    setting. `notes`: what freezing changed in them, in words.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    sha256: str
    name: str
    definition: SweepDefinition
    bases: dict[str, RunConfig]
    images: dict[str, str]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        definition: SweepDefinition,
        bases: Mapping[str, RunConfig],
        images: Mapping[str, str],
        notes: tuple[str, ...] = (),
    ) -> Sweep:
        """The sweep of a definition over `bases`, computed by `images` (stage → image, or the digest of local code)."""
        digest = _identity(name, definition, bases, images)
        return cls(
            id=f"{name[:31]}-{digest[:8]}",
            sha256=digest,
            name=name,
            definition=definition,
            bases=dict(bases),
            images=dict(images),
            notes=notes,
        )


def _identity(
    name: str,
    definition: SweepDefinition,
    bases: Mapping[str, RunConfig],
    images: Mapping[str, str],
) -> str:
    plain = {model: config.model_dump(mode="json") for model, config in bases.items()}
    return sha256_bytes(
        canonical_json([name, definition.model_dump(mode="json"), plain, dict(images)])
    )


def create_sweep(store: ObjectStore, sweep: Sweep) -> None:
    """Create sweep.json; the same bytes there already mean a resume, others raise RunConflictError with both hashes."""
    created = write(store, sweep_key(sweep.id), sweep)
    log.event(
        "sweep created" if created else "sweep exists, resuming", sweep=sweep.id, store=store.uri
    )


def sweep_ids(store: ObjectStore) -> list[str]:
    """Every sweep of the store."""
    return [name for name in store.folders(SWEEPS) if is_key(sweep_key(name))]


def require_sweep(store: ObjectStore, sweep: str) -> None:
    """ConfigError when no sweep is named, MissingInputError with the nearest name when the store has none like it."""
    if not sweep:
        raise ConfigError("No sweep is named; SWEEP=id names one, and make sweep prints its id.")
    if is_key(sweep_key(sweep)) and store.exists(sweep_key(sweep)):
        return
    if is_key(run_key(sweep)) and store.exists(run_key(sweep)):
        raise MissingInputError(
            f"{sweep} is a run, and a sweep is asked for; RUN={sweep} names it."
        )
    known = sweep_ids(store)
    hint = nearest(sweep, known) if known else "it has none; start one: make sweep SPACE=lora-grid."
    raise MissingInputError(f"There is no sweep '{sweep}' in {store.uri}; {hint}")


def load_sweep(store: ObjectStore, sweep_id: str) -> Sweep:
    """Read and verify a frozen sweep; errors as `require_sweep`, StorageError when it was changed."""
    require_sweep(store, sweep_id)
    key = sweep_key(sweep_id)
    sweep = decode(Sweep, store.read(key), key)
    again = Sweep.of(sweep.name, sweep.definition, sweep.bases, sweep.images, sweep.notes)
    if again != sweep or sweep.id != sweep_id:
        raise StorageError(
            f"{key} does not match its own hashes: the object was moved or changed; restore it."
        )
    return sweep


def completed(store: ObjectStore, sweep: Sweep) -> SweepManifest | None:
    """The record that a sweep is over, None before that; StorageError for one that is torn or another sweep's."""
    key = complete_key(sweep.id)
    manifest = read(store, SweepManifest, key)
    if manifest is not None and manifest.sweep_sha256 != sweep.sha256:
        raise StorageError(
            f"{key} is the end of another sweep, {manifest.sweep[:60]}: it was moved or copied. Restore it, or delete "
            "it and give the command that made the sweep again, which makes it anew."
        )
    return manifest


def trial_run(sweep: Sweep, model: str, settings: Settings) -> Run:
    """The run that computes `settings` for `model`: an ordinary one, under its short id; pure.

    ConfigError when the settings are no configuration, which the sweep's checks have ruled out.
    """
    return Run.of(trial_config(sweep, model, settings), sweep.images)


def asked_run(sweep: Sweep, model: str, ask: Ask) -> Run:
    """The run of a trial that was asked for, under the id that the ask says; pure."""
    return trial_run(sweep, model, ask.settings).named(ask.run_id)


def trial_config(sweep: Sweep, model: str, settings: Settings) -> RunConfig:
    """The base with `settings`; objective `labels` has an eval too, of the validation rows only."""
    scored = SCORED if sweep.definition.objective == "labels" else {}
    return with_settings(sweep.bases[model], {**settings, **scored})


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """`config` with other values of some settings, each named by its whole key; ConfigError for what is none."""
    data = deepcopy(config.model_dump(mode="json"))
    for key, value in settings.items():
        *parents, last = key.split(".")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = list(value) if isinstance(value, tuple) else value
    shown = ", ".join(f"{key}={value}" for key, value in settings.items())
    return parse_config(data, where=f"Settings {shown}")
