"""What a base folder may hold, and that it holds just that: names by list, settings that load no code, a closed index.

Hashes say that files are those that were published; this says that they are harmless whoever published them. Libraries
look into such a folder for more than they are asked for: code named by `auto_map`, pickles named by an index, files
beside it. All reading of weights is by safetensors, without remote code, on top of this.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Container, Mapping
from pathlib import Path
from typing import Any

from fingpt import log
from fingpt.errors import DataError
from fingpt.models import ModelSpec
from fingpt.reading import RECORD_BYTES, Unreadable, parse_json
from fingpt.storage import ObjectStore
from fingpt.storage.files import translate_os_errors
from fingpt.weights.base import fetch_base, read_base_manifest

CONFIG, TOKENIZER = "config.json", "tokenizer.json"
INDEX, WEIGHTS = "model.safetensors.index.json", "model.safetensors"
REQUIRED = (CONFIG, TOKENIZER)
OPTIONAL = ("generation_config.json", "tokenizer_config.json", INDEX)

_PART = re.compile(r"\.[0-9a-f]+\.part.*")
_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")

# What describes a Llama, and nothing that names code or files.
CONFIG_KEYS = frozenset(
    "architectures attention_bias attention_dropout bos_token_id dtype eos_token_id head_dim hidden_act hidden_size "
    "initializer_range intermediate_size max_position_embeddings mlp_bias model_type num_attention_heads "
    "num_hidden_layers num_key_value_heads pad_token_id pretraining_tp rms_norm_eps rope_parameters rope_scaling "
    "rope_theta tie_word_embeddings torch_dtype transformers_version use_cache vocab_size".split()
)
KINDS = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}

TOKENIZER_BYTES = 64 << 20
"""A real one has 9 to 17 MB."""

# The largest number that a setting of a Llama has, generously; and no setting is below 0 but ids of missing tokens.
_LARGEST = {
    "num_hidden_layers": 1000,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 12,
    "hidden_size": 1 << 17,
    "intermediate_size": 1 << 20,
    "vocab_size": 1 << 22,
    "max_position_embeddings": 1 << 26,
    "head_dim": 1 << 12,
}


def open_base(store: ObjectStore, spec: ModelSpec, cache: Path) -> Path:
    """The folder of `fetch_base`, with nothing in it but the base's own files, whose contents are allowed.

    What else lies there is removed: a cache outlives its pods, and others may write to it. Raises DataError when the
    base names another kind of file, its settings could load code, or its index is not that of its weights.
    """
    names = [file.name for file in read_base_manifest(store, spec).files]
    check_names(names, spec.base)
    folder = fetch_base(store, spec, cache)
    remove_strangers(folder, names)
    check_folder(folder, names, spec.base)
    return folder


def check_names(names: Collection[str], base: str) -> None:
    """DataError when a base has a file that is not on the list."""
    allowed = {*REQUIRED, *OPTIONAL, WEIGHTS}
    alien = sorted(name for name in names if name not in allowed and not _SHARD.fullmatch(name))
    if alien:
        raise DataError(
            f"The base weights {base} name '{alien[0][:100]}'; only {', '.join(sorted(allowed))} and further "
            ".safetensors files are used: mirror the base again."
        )


def remove_strangers(folder: Path, names: Collection[str]) -> None:
    """Delete what is no file of the base from its cache folder, but for downloads that are under way."""
    with translate_os_errors(folder):
        for path in folder.iterdir():
            plain = path.is_file() and not path.is_symlink()
            if plain and (path.name in names or _PART.fullmatch(path.name)):
                continue
            if path.name in names:
                raise DataError(
                    f"{path} is no plain file; remove it and run the same command again."
                )
            log.warning("removed from the cache: it is no file of the base", file=path.name)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def check_folder(folder: Path, names: Collection[str], base: str) -> None:
    """DataError naming the first file of a base folder whose content is not allowed."""
    index: Any = None
    config: Mapping[str, Any] = {}
    for name in sorted(names):
        if not name.endswith(".json") or name == TOKENIZER:
            continue  # the tokenizer is data throughout, read by its own library
        with translate_os_errors(folder / name):
            data = (folder / name).read_bytes()
        try:
            content = parse_json(data, RECORD_BYTES)
            fault = CHECKS.get(name, check_settings)(content)
        except Unreadable as unreadable:
            content, fault = None, str(unreadable)
        if fault:
            raise DataError(f"{name} of the base weights {base} {fault}; mirror the base again.")
        index = content if name == INDEX else index
        config = content if name == CONFIG else config
    weights = shards(index, names)
    missing = [name for name in weights if name not in names]
    if missing:
        raise DataError(f"The base weights {base} have no {missing[0]}; mirror the base again.")
    size = sum((folder / name).stat().st_size for name in weights)
    if _parameters(config) > size:
        raise DataError(
            f"{CONFIG} of the base weights {base} describes {_parameters(config):,} parameters and more, its files "
            f"have {size:,} bytes; mirror the base again."
        )


def _parameters(config: Mapping[str, Any]) -> int:
    """Parameters of the embeddings and of feed-forward layers: what files lack is allocated all the same."""
    keys = ("hidden_size", "vocab_size", "num_hidden_layers", "intermediate_size")
    hidden, vocabulary, layers, inner = (int(config.get(key) or 0) for key in keys)
    return vocabulary * hidden + 3 * layers * hidden * inner


def check_config(content: object) -> str:
    """What keeps `content` from being the configuration of a plain Llama, empty when nothing does."""
    if not isinstance(content, dict):
        return "holds no settings"
    for key in sorted(content):
        if key not in CONFIG_KEYS:
            return f"has the key '{key[:60]}', which is not on the list of a Llama's settings"
    for key, wanted in KINDS.items():
        if content.get(key) != wanted:
            return f"has {key} {str(content.get(key))[:60]!r} where {wanted!r} is expected"
    for key, largest in _LARGEST.items():
        value = content.get(key)
        if value is not None and (not isinstance(value, int) or not 0 < value <= largest):
            return f"has {key} {str(value)[:20]}, which is no number from 1 to {largest}"
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
            return f"has the key '{key[:60]}', which can load code or another file"
    return ""


CHECKS = {CONFIG: check_config, TOKENIZER: check_tokenizer}


def shards(index: Any, listing: Container[str]) -> list[str]:
    """Names of the weight files: those of the `index`, or the single file where there is no index.

    DataError when the index is none that transformers reads or names a file that is not announced beside it.
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
    if not isinstance(index.get("metadata"), dict):
        raise DataError(
            f"{INDEX} has no section 'metadata', without which transformers loads no shards; the repository cannot be "
            "mirrored."
        )
    return names


def _texts(table: Mapping[str, object]) -> bool:
    return all(isinstance(name, str) for name in table.values())
