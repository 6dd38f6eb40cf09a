"""An adapter that was trained elsewhere: read from a folder, a bucket or the hub, checked, frozen into the store.

Only two of its files count, safetensors and JSON. Its configuration is never obeyed: rank, alpha and layers are read
from it and become the run's own, everything else that would change what the adapter computes is refused, and what is
stored is a configuration of ours beside the weights' own bytes, under the name of their hash.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

from pydantic import SecretStr

from fingpt import log
from fingpt.config import LoraConfig, RunConfig, local_path
from fingpt.errors import ConfigError, DataError, MissingInputError
from fingpt.eval.base_sizes import read_sizes
from fingpt.eval.foreign_remedies import instead, list_of_layers, whole_alpha
from fingpt.eval.foreign_weights import WEIGHTS, check_tensors
from fingpt.models import LINEAR_LAYERS, ModelSpec, spec
from fingpt.record import canonical_json
from fingpt.runs.manifest import AdapterManifest, decode, encode
from fingpt.runs.run import adapter_manifest_key, adapter_prefix
from fingpt.storage import ObjectStore, TooLargeError, open_store, put, upload_tree
from fingpt.storage.files import file_ref, translate_os_errors

CONFIG = "adapter_config.json"
WAYS = (
    f"a folder with {CONFIG} and {WEIGHTS}, or such a one as s3://bucket/prefix or "
    "hub:owner/name@commit"
)

_FROZEN = re.compile(r"adapters/([0-9a-f]{32})/?")
_HUB = re.compile(r"hub:([\w.-]+/[\w.-]+)@([0-9a-f]{40})")
_MOST_BYTES = {CONFIG: 1 << 20, WEIGHTS: 8 << 30}
_MOST_RANK, _MOST_ALPHA = 1024, 1 << 20

# Settings that describe or do nothing at evaluation; any other must be absent, empty or off.
_INERT = {
    *(
        "peft_type",
        "task_type",
        "base_model_name_or_path",
        "revision",
        "r",
        "lora_alpha",
        "target_modules",
    ),
    *("lora_dropout", "bias", "inference_mode", "peft_version", "runtime_config", "megatron_core"),
    *("qalora_group_size", "init_lora_weights", "auto_mapping"),
}
# PiSSA, OLoRA, LoftQ and the like change the base's weights before training, and the file does not hold those.
_PLAIN_INITS = (True, False, None, "gaussian", "orthogonal")

FetchFromHub = Callable[[ModelSpec, Path, tuple[str, ...]], None]
"""Brings those files of a repository at its commit that are there; `ModelSpec.base` and `revision` name them."""


def freeze_adapter(store: ObjectStore, config: RunConfig, fetch: FetchFromHub) -> RunConfig:
    """`config` with its foreign adapter in the store, under the name of its bytes, and with its LoRA settings.

    Raises MissingInputError when a file is not there, DataError when the adapter is none that can be evaluated on the
    model's base, ConfigError when its name has no known form.
    """
    source, model = config.eval.adapter, spec(config.model)
    if not source:
        return config
    if source.startswith("adapters/"):
        return _with_adapter(config, _frozen(store, source))
    with tempfile.TemporaryDirectory(prefix="fingpt-adapter-") as scratch:
        manifest, folder = _prepare(store, source, model, Path(scratch), fetch)
        prefix = adapter_prefix(manifest.id)
        upload_tree(store, folder, f"{prefix}/adapter")
    put(store, adapter_manifest_key(prefix), encode(manifest))
    lora = manifest.lora
    log.event("adapter frozen", source=source, frozen=prefix, rank=lora.r, alpha=lora.alpha)
    return _with_adapter(config, manifest)


def look_at_adapter(
    store: ObjectStore, config: RunConfig, fetch: FetchFromHub
) -> AdapterManifest | None:
    """What `freeze_adapter` would store for `config`, None without an adapter; nothing is written.

    Raises what `freeze_adapter` raises for it.
    """
    source, model = config.eval.adapter, spec(config.model)
    if not source:
        return None
    if source.startswith("adapters/"):
        manifest = _frozen(store, source)
    else:
        with tempfile.TemporaryDirectory(prefix="fingpt-adapter-") as scratch:
            manifest, _ = _prepare(store, source, model, Path(scratch), fetch)
    _with_adapter(config, manifest)
    return manifest


def hub_fetcher(token: SecretStr | None) -> FetchFromHub:
    """Brings files from the hub, which is asked only when it is called."""

    def fetch(repository: ModelSpec, folder: Path, names: tuple[str, ...]) -> None:
        from fingpt.weights.hub import Hub

        hub = Hub(token)
        there = hub.files(repository)
        wanted = [there[name] for name in names if name in there]
        for file in wanted:
            if file.size > _MOST_BYTES[file.name]:
                where = f"{file.name} of {repository.base}@{repository.revision}"
                raise _too_large(where, _MOST_BYTES[file.name])
        with log.progress(f"fetch {repository.base}", sum(file.size for file in wanted)) as meter:
            for file in wanted:
                hub.download(repository, file, folder, meter)

    return fetch


def _frozen(store: ObjectStore, source: str) -> AdapterManifest:
    """The manifest of `adapters/<id>`; MissingInputError when there is none."""
    key = adapter_manifest_key(source.rstrip("/"))
    if not _FROZEN.fullmatch(source) or not store.exists(key):
        raise MissingInputError(f"{store.uri} has no adapter {source}; give {WAYS}.")
    return decode(AdapterManifest, store.read(key), key)


def _prepare(
    store: ObjectStore, source: str, model: ModelSpec, scratch: Path, fetch: FetchFromHub
) -> tuple[AdapterManifest, Path]:
    """The checked adapter as it is to be stored, with the folder of its two files."""
    folder = _gather(source, model, scratch, fetch)
    lora = check_settings(read_settings(folder / CONFIG, source), model, source)
    check_tensors(folder / WEIGHTS, lora, source, read_sizes(store, model))
    (folder / CONFIG).write_bytes(own_config(lora, model))
    refs = (file_ref(folder / name, f"adapter/{name}") for name in (CONFIG, WEIGHTS))
    manifest = AdapterManifest(
        id="",
        base=model.base,
        revision=model.revision,
        lora=lora,
        files=tuple(ref.model_copy(update={"name": f"adapter/{ref.name}"}) for ref in refs),
    )
    return manifest.model_copy(update={"id": manifest.files_id}), folder


def _with_adapter(config: RunConfig, manifest: AdapterManifest) -> RunConfig:
    model = spec(config.model)
    if (manifest.base, manifest.revision) != (model.base, model.revision):
        raise DataError(
            f"adapters/{manifest.id} was frozen for {manifest.base}@{manifest.revision}, not for {model.base}."
        )
    evaluation = config.eval.model_copy(update={"adapter": adapter_prefix(manifest.id)})
    train = config.train.model_copy(update={"lora": manifest.lora})
    return config.model_copy(update={"eval": evaluation, "train": train})


def own_config(lora: LoraConfig, model: ModelSpec) -> bytes:
    """The configuration that PEFT is given: nothing of the foreign file but its rank, alpha, dropout and layers."""
    return canonical_json(
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": model.base,
            "revision": model.revision,
            "r": lora.r,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "target_modules": sorted(lora.targets),
            "bias": "none",
            "inference_mode": True,
        }
    )


def _gather(source: str, model: ModelSpec, scratch: Path, fetch: FetchFromHub) -> Path:
    """The two files of the adapter in a folder of their own."""
    folder = scratch / "adapter"
    folder.mkdir()
    (scratch / "hub").mkdir()
    if source.startswith("s3://"):
        seen = _from_bucket(open_store(source.rstrip("/")), folder)
    elif source.startswith("hub:"):
        match = _HUB.fullmatch(source)
        if match is None:
            raise ConfigError(
                f"'{source}' names no adapter on the hub with its commit, such as hub:owner/name@{'0' * 40}."
            )
        fetch(_repository(model, match[1], match[2]), scratch / "hub", (CONFIG, WEIGHTS))
        # The hub's client leaves notes of its own beside what it brings.
        seen = _from_folder(scratch / "hub", folder)
    else:
        seen = _from_folder(local_path(source), folder)
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        pickle = next((name for name in seen if name.startswith("adapter_model.")), "")
        hint = (
            f" {pickle} is not read: save it again with safe_serialization=True." if pickle else ""
        )
        hint += _checkpoints_below(source)
        raise MissingInputError(
            f"The adapter {source} has no {' and no '.join(missing)}; give {WAYS}.{hint}"
        )
    left = sorted(set(seen) - {CONFIG, WEIGHTS})
    if left:
        log.event(
            "files of the adapter that are not read", files=", ".join(left[:20]), count=len(left)
        )
    return folder


def _checkpoints_below(source: str) -> str:
    """What to name instead where a folder holds a trainer's checkpoints; empty where it holds none."""
    if source.startswith(("s3://", "hub:")):
        return ""
    path = local_path(source)
    below = sorted(each.parent for each in path.glob(f"*/{CONFIG}"))
    if not below:
        return ""
    newest = max(below, key=lambda each: (each / CONFIG).stat().st_mtime)
    return f" Adapters lie below it, the newest: ADAPTER={quote(str(newest))}."


def _repository(model: ModelSpec, name: str, commit: str) -> ModelSpec:
    return replace(model, base=name, revision=commit)


def _from_folder(path: Path, folder: Path) -> list[str]:
    if not path.is_dir():
        raise MissingInputError(f"There is no folder {path} with an adapter; give {WAYS}.")
    for name, most in _MOST_BYTES.items():
        if (path / name).is_file():
            if (path / name).stat().st_size > most:
                raise _too_large(str(path / name), most)
            with translate_os_errors(path / name):
                shutil.copyfile(path / name, folder / name)
    return [each.name for each in path.iterdir() if each.is_file()]


def _from_bucket(bucket: ObjectStore, folder: Path) -> list[str]:
    for name, most in _MOST_BYTES.items():
        if bucket.exists(name):
            try:
                bucket.copy(name, folder / name, most)
            except TooLargeError:
                raise _too_large(f"{bucket.uri}/{name}", most) from None
    return [key for key in bucket.keys("adapter_") if "/" not in key]


def _too_large(where: str, most: int) -> DataError:
    return DataError(
        f"{where} has more than {most:,} bytes, which no adapter that can be evaluated has."
    )


def read_settings(path: Path, source: str) -> dict[str, Any]:
    """The foreign configuration, of a size that was checked; DataError when it is no JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{CONFIG} of {source} is no JSON object.")
    return found


def check_settings(settings: Mapping[str, Any], model: ModelSpec, source: str) -> LoraConfig:
    """The LoRA settings of a foreign configuration; DataError naming the first one that is not supported."""
    if settings.get("peft_type") != "LORA":
        raise _refusal(settings, "peft_type", "LORA alone is evaluated here", source)
    if settings.get("task_type") not in ("CAUSAL_LM", None):
        raise _refusal(settings, "task_type", "CAUSAL_LM is expected", source)
    _check_base(settings, model, source)
    if settings.get("bias", "none") != "none":
        raise _refusal(settings, "bias", "'none' is expected", source)
    if settings.get("init_lora_weights") not in _PLAIN_INITS:
        expected = "that changes the base; convert the adapter to plain LoRA first"
        raise _refusal(settings, "init_lora_weights", expected, source)
    for name, value in settings.items():
        if name not in _INERT and value:
            expected = f"it must be empty or off to be supported; {instead(settings, name)}"
            raise _refusal(settings, name, expected, source)
    return _lora(settings, source)


def _lora(settings: Mapping[str, Any], source: str) -> LoraConfig:
    rank, alpha, dropout = (settings.get(name) for name in ("r", "lora_alpha", "lora_dropout"))
    if not _is_whole(rank, _MOST_RANK):
        expected = f"a whole number from 1 to {_MOST_RANK} is expected"
        raise _refusal(settings, "r", expected, source)
    if not _is_whole(alpha, _MOST_ALPHA):
        expected = f"a whole number above 0 is expected{whole_alpha(alpha)}"
        raise _refusal(settings, "lora_alpha", expected, source)
    targets = settings.get("target_modules")
    known = isinstance(targets, list) and {str(each) for each in targets} <= set(LINEAR_LAYERS)
    if not targets or not known:
        expected = (
            f"a list of some of {', '.join(LINEAR_LAYERS)} is expected: {list_of_layers(targets)}"
        )
        raise _refusal(settings, "target_modules", expected, source)
    return LoraConfig(
        r=int(rank or 0),
        alpha=int(alpha or 0),
        dropout=float(dropout) if isinstance(dropout, int | float) and 0 <= dropout < 1 else 0.0,
        targets=tuple(name for name in LINEAR_LAYERS if name in targets),
    )


def _refusal(settings: Mapping[str, Any], name: str, expected: str, source: str) -> DataError:
    value = str(settings.get(name))[:80]
    return DataError(f"{CONFIG} of {source} says {name[:80]!r} = {value!r}, but {expected}.")


def _is_whole(value: object, most: int) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 1 <= value <= most and value == int(value)


def _check_base(settings: Mapping[str, Any], model: ModelSpec, source: str) -> None:
    """DataError when the adapter names another base or commit; what it does not name is said."""
    base, revision = settings.get("base_model_name_or_path"), settings.get("revision")
    name = base if isinstance(base, str) else ""
    name = model.base if name in model.former_bases else name
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) and name != model.base:
        raise DataError(
            f"The adapter {source} was trained on {name}, not on {model.base}: an adapter only fits the base it was "
            "trained on. Name its model with MODEL=; where it is a copy of the same weights, correct "
            f"base_model_name_or_path in {CONFIG}."
        )
    commit = revision if isinstance(revision, str) and revision != "main" else ""
    if commit and commit != model.revision:
        raise DataError(
            f"The adapter {source} was trained on revision {commit[:60]!r} of its base, not on {model.revision}."
        )
    if name != model.base or not commit:
        log.warning(
            f"The adapter {source} does not say which commit of {model.base} it was trained on; that it fits is taken "
            "on trust."
        )
