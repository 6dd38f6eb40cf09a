"""Base weights from the hub into the store, once: the files a stage needs, verified, one at a time, the manifest last.

Only data is taken: JSON settings without a word that loads code, a fast tokenizer and safetensors; never .bin, .pt or
.py. A file is removed from the scratch folder once it is in the store, so disk space for the largest file is enough. A
repeated command resumes after the last file that is in the store and verifies. The hub's client is in hub.py.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fingpt import log
from fingpt.errors import DataError, MissingInputError, StorageError
from fingpt.models import ModelSpec
from fingpt.record import FileRef
from fingpt.runs.manifest import BaseManifest
from fingpt.runs.run import base_manifest_key
from fingpt.storage import ObjectStore
from fingpt.storage.files import require_space, translate_os_errors
from fingpt.weights.base import publish_base, read_base_manifest, require_origin
from fingpt.weights.hub import Hub, HubFile, verify

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
REQUIRED = (CONFIG, TOKENIZER)
OPTIONAL = ("generation_config.json", "tokenizer_config.json", INDEX)

_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")

# What describes a Llama, and nothing that names code or files.
CONFIG_KEYS = frozenset(
    "architectures attention_bias attention_dropout bos_token_id dtype eos_token_id head_dim hidden_act hidden_size "
    "initializer_range intermediate_size max_position_embeddings mlp_bias model_type num_attention_heads "
    "num_hidden_layers num_key_value_heads pad_token_id pretraining_tp rms_norm_eps rope_parameters rope_scaling "
    "rope_theta tie_word_embeddings torch_dtype transformers_version use_cache vocab_size".split()
)
_KINDS = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def mirror(store: ObjectStore, spec: ModelSpec, hub: Hub) -> BaseManifest:
    """Bring `spec`'s base weights into `store` unless their manifest is there.

    Raises ConfigError for a tiny model, MissingInputError when the hub lacks the repository, the commit or a file that
    is needed, DataError when a setting is not allowed, StorageError when bytes differ or the disk is full, and what Hub
    and ObjectStore raise. Files that are in the store by then stay for the next call.
    """
    require_origin(spec, store.uri, tiny=False)
    if store.exists(base_manifest_key(spec.base_prefix)):
        manifest = read_base_manifest(store, spec)
        log.event(
            "base weights already in the store",
            model=spec.key,
            store=store.uri,
            sha256=manifest.sha256,
        )
        return manifest
    listing = hub.files(spec)
    absent = [name for name in REQUIRED if name not in listing]
    if absent or not {INDEX, WEIGHTS} & set(listing):
        raise MissingInputError(
            f"{spec.base}@{spec.revision} has no {' and no '.join(absent) or 'safetensors weights'} on the hub, so it "
            "cannot be mirrored; only safetensors and a fast tokenizer are taken."
        )
    with tempfile.TemporaryDirectory(prefix="fingpt-mirror-") as scratch:
        files = _FileMirror(store, spec, hub, Path(scratch))
        # The settings first: they are small, and whatever is wrong with access or content shows before the weights.
        settings = [listing[name] for name in (*REQUIRED, *OPTIONAL) if name in listing]
        refs = files.mirror(settings, f"mirror settings of {spec.base}")
        weights = [listing[name] for name in shards(files.index, listing)]
        refs += files.mirror(weights, f"mirror weights of {spec.base}")
    manifest = publish_base(store, spec, refs)
    log.event("base weights stored", model=spec.key, store=store.uri, sha256=manifest.sha256)
    return manifest


class _FileMirror:
    """Copies files from the hub to the store, one at a time through the scratch folder."""

    def __init__(self, store: ObjectStore, spec: ModelSpec, hub: Hub, scratch: Path) -> None:
        self._store, self._spec, self._hub, self._scratch = store, spec, hub, scratch
        self.index: Any = None  # the index of the shards, once it was mirrored

    def mirror(self, files: Sequence[HubFile], what: str) -> list[FileRef]:
        with log.progress(what, sum(file.size for file in files)) as meter:
            return [self._mirror_one(file, meter) for file in files]

    def _mirror_one(self, file: HubFile, meter: log.Meter) -> FileRef:
        start = time.monotonic()
        key = f"{self._spec.base_prefix}/{file.name}"
        path = self._scratch / file.name
        with translate_os_errors(path, file.size):
            try:
                there = self._store.exists(key)
                if there:
                    sha256 = self._verify_stored(key, path, file)
                    meter.advance(file.size)
                else:
                    sha256 = self._hub.download(self._spec, file, self._scratch, meter)
                self._check(path)
                if not there:
                    self._store.upload(path, key)
            finally:
                path.unlink(missing_ok=True)
        done = "file already in the store" if there else "file stored"
        log.event(done, file=file.name, size=file.size, seconds=round(time.monotonic() - start, 1))
        return FileRef(name=file.name, size=file.size, sha256=sha256)

    def _verify_stored(self, key: str, path: Path, file: HubFile) -> str:
        """The sha256 of a file that an earlier call stored, from its bytes: it may be incomplete."""
        require_space(path, file.size)
        if file.sha256:
            self._store.download(key, path, file.sha256)
            return file.sha256
        path.write_bytes(self._store.read(key))
        try:
            return verify(path, file)
        except StorageError:
            raise StorageError(
                f"{self._store.uri}/{key} holds other bytes than the hub announces; objects are never overwritten: "
                "find out who wrote it, remove it and run the same command again."
            ) from None

    def _check(self, path: Path) -> None:
        if path.suffix != ".json":
            return
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            raise self._refused(path.name, "is not JSON") from None
        fault = _CHECKS.get(path.name, check_settings)(content)
        if fault:
            raise self._refused(path.name, fault)
        if path.name == INDEX:
            self.index = content

    def _refused(self, name: str, fault: str) -> DataError:
        return DataError(
            f"{name} of {self._spec.base}@{self._spec.revision} {fault}; only data of a plain Llama is "
            "mirrored, look at the repository before pinning it."
        )


def check_config(content: object) -> str:
    """What keeps `content` from being the configuration of a plain Llama, empty when nothing does."""
    if not isinstance(content, dict):
        return "holds no settings"
    for key in sorted(content):
        if key not in CONFIG_KEYS:
            return f"has the key '{key}', which is not on the list of a Llama's settings"
    for key, wanted in _KINDS.items():
        if content.get(key) != wanted:
            return f"has {key} {content.get(key)!r} where {wanted!r} is expected"
    return ""


def check_tokenizer(content: object) -> str:
    """What keeps `content` from being a fast tokenizer of the kind that both families have, empty when nothing does."""
    model = content.get("model") if isinstance(content, dict) else None
    parts = {"type": str, "vocab": dict, "merges": list}
    if (
        not isinstance(model, dict)
        or any(not isinstance(model.get(key), kind) for key, kind in parts.items())
        or model["type"] != "BPE"
    ):
        return "is no fast tokenizer of the kind BPE"
    return ""


def check_settings(content: object) -> str:
    """What in settings other than a model's names code or files, empty when nothing does."""
    if not isinstance(content, dict):
        return "holds no settings"
    for key in sorted(content):
        if key == "auto_map" or key.startswith("custom_") or key.endswith("_file"):
            return f"has the key '{key}', which can load code or another file"
    return ""


_CHECKS = {CONFIG: check_config, TOKENIZER: check_tokenizer}


def shards(index: Any, listing: Mapping[str, HubFile]) -> list[str]:
    """Names of the weight files: those of the `index`, or the single file where there is no index.

    DataError when the index is none or names a file that is not announced beside it.
    """
    if index is None:
        return [WEIGHTS]
    table = index.get("weight_map")
    names = sorted(set(table.values())) if isinstance(table, dict) and _texts(table) else []
    if not names:
        raise DataError(f"{INDEX} has no table of weights; the repository cannot be mirrored.")
    for name in names:
        if not _SHARD.fullmatch(name) or name not in listing:
            raise DataError(
                f"{INDEX} names '{name[:100]}', which is no safetensors file beside it; the repository cannot be "
                "mirrored."
            )
    return names


def _texts(table: Mapping[str, object]) -> bool:
    return all(isinstance(name, str) for name in table.values())
