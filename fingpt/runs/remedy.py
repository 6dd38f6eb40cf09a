"""Commands that messages tell a person to give: each repeats what makes it work for that very run.

A run says itself what it is, so `stage_command` needs no memory of the command that made it: MODEL is the shipped
configuration that is nearest, DATA its frozen rows, LIMIT, SET and ADAPTER all that differs.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fingpt.config import RunConfig, load_config, split_words
from fingpt.errors import ConfigError
from fingpt.models import spec
from fingpt.runs.run import Run

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"


def stage_command(store_uri: str, target: str, run: Run) -> str:
    """`make <target>` for `run`: followed from the same checkout it names the same run again."""
    name, overrides = _nearest(run.config)
    words = ["make", target, f"MODEL={name}", _data(run.config.prep.source)]
    words += [f"LIMIT={run.config.prep.limit}"] if run.config.prep.limit else []
    words += [_word("SET", " ".join(map(_setting, overrides)))] if overrides else []
    words += [_word("ADAPTER", run.config.eval.adapter)] if run.config.eval.adapter else []
    local = any(image.startswith("local:") for image in run.images.values())
    words += ["LOCAL=1"] if local and not store_uri.startswith("file:") else []
    return " ".join([*words, *_store(store_uri)])


def mirror_command(store_uri: str, model: str, source: str) -> str:
    """`make mirror` for the rows of `source` and the weights of `model`, if there is one and it is no tiny one."""
    words = ["make", "mirror"] + ([f"MODEL={model}"] if model and not spec(model).tiny else [])
    return " ".join([*words, _data(source), *_store(store_uri)])


def base_command(store_uri: str, model: str) -> str:
    """The command that brings the base weights of `model` into the store."""
    target = "tiny" if spec(model).tiny else "mirror"
    return " ".join(["make", target, f"MODEL={model}", *_store(store_uri)])


def _data(source: str) -> str:
    return _word("DATA", source)


def _word(name: str, value: str) -> str:
    """`NAME=value` as a shell takes it; our Makefile reads nothing into a value, so make needs no quoting."""
    return f"{name}={shlex.quote(value)}"


def _setting(override: str) -> str:
    """One word of SET, in quotes where `config.split_words` would read it as anything else."""
    try:
        plain = split_words(override, "SET") == [override]
    except ConfigError:  # a quote that nothing closes, as an apostrophe is
        plain = False
    return override if plain else shlex.quote(override)


def _store(uri: str) -> list[str]:
    """`STORE=…` unless it is the store that a command without it uses."""
    if uri == (Path.cwd() / "store").as_uri():
        return []
    return [_word("STORE", unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)]


def _nearest(config: RunConfig) -> tuple[str, list[str]]:
    """The shipped configuration of the same model that differs least from `config`, and the overrides left."""
    found = []
    for path in sorted(CONFIGS.glob("*.yaml")):
        shipped = load_config(path, [f"prep.source={config.prep.source}"])
        if shipped.model == config.model:
            found.append((path.stem, _overrides(config, shipped)))
    if not found:
        return config.model, []
    return min(found, key=lambda each: (len(each[1]), each[0]))


def _overrides(config: RunConfig, shipped: RunConfig) -> list[str]:
    mine, theirs = _flat(config.model_dump(mode="json")), _flat(shipped.model_dump(mode="json"))
    given = ["prep.source"] + (["prep.limit"] if config.prep.limit else [])
    if config.eval.adapter:
        given += ["eval.adapter", "train.lora."]  # the adapter brings its own
    return [
        f"{key}={_scalar(value)}"
        for key, value in mine.items()
        if value != theirs.get(key) and not key.startswith(tuple(given))
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


def _scalar(value: Any) -> str:
    """`value` as load_config reads it, without blanks or quotes, which SET would need more quotes for."""
    if isinstance(value, list):
        return f"[{','.join(map(_scalar, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
