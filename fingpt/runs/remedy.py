"""Commands that messages tell a person to give: each repeats what makes it work for that very run.

A run says itself what it is, so `stage_command` needs no memory of the command that made it: MODEL is the shipped
configuration that is nearest, DATA its frozen rows, LIMIT, SET and ADAPTER all that differs. Where make was told
NAMESPACE or LOCAL, the command that is named says so, too.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fingpt.config import RunConfig, argument, load_config, split_words
from fingpt.errors import ConfigError
from fingpt.models import spec
from fingpt.runs.run import Run

CONFIGS = Path(__file__).resolve().parents[2] / "jobs" / "configs"


def stage_command(store_uri: str, target: str, run: Run) -> str:
    """`make <target>` for `run`: followed from the same checkout it names the same run again."""
    command = config_command(target, run.config)
    return " ".join([command, *_where(store_uri, local=_is_local(run))])


def config_command(target: str, config: RunConfig) -> str:
    """`make <target>` with the whole of `config`, in whatever store its reader uses: for pages, which are copied."""
    name, overrides = _nearest(config)
    words = ["make", target, f"MODEL={name}", _data(config.prep.source)]
    words += [f"LIMIT={config.prep.limit}"] if config.prep.limit else []
    words += [_word("SET", " ".join(map(_setting, overrides)))] if overrides else []
    words += [_word("ADAPTER", config.eval.adapter)] if config.eval.adapter else []
    return " ".join(words)


def sweep_command(store_uri: str, space: str, runs: Sequence[Run]) -> str:
    """`make sweep` with the search `space` from the configurations of `runs`, one for each model."""
    nearest = [_nearest(run.config) for run in runs]
    names = " ".join(name for name, _ in nearest)
    # One SET is for all models: what one of them says anyway does it no harm.
    overrides = dict.fromkeys(override for _, found in nearest for override in found)
    prep = runs[0].config.prep
    words = ["make", "sweep", _word("SPACE", space), _data(prep.source)]
    words += [_word("MODELS", names) if len(runs) > 1 else f"MODEL={names}"]
    words += [f"LIMIT={prep.limit}"] if prep.limit else []
    words += [_word("SET", " ".join(map(_setting, overrides)))] if overrides else []
    return " ".join([*words, *_where(store_uri, local=_is_local(runs[0]))])


def differences(config: RunConfig) -> str:
    """What a run sets otherwise than the shipped configuration that is nearest: `train.lr=0.0001 prep.limit=40`.

    Seed, rows and origin are not among it. A configuration whose name is not the model's is named first, with a colon.
    """
    name, overrides = _nearest(config)
    words = [word for word in overrides if word.partition("=")[0] not in ("seed", "prep.origin")]
    words += [f"prep.limit={config.prep.limit}"] if config.prep.limit else []
    return " ".join([f"{name}:", *words] if name != config.model else words)


def mirror_command(store_uri: str, model: str, source: str) -> str:
    """`make mirror` for the rows of `source` and the weights of `model`, if there is one and it is no tiny one."""
    words = ["make", "mirror"] + ([f"MODEL={model}"] if model and not spec(model).tiny else [])
    return " ".join([*words, _data(source), *_where(store_uri, local=_told_local())])


def base_command(store_uri: str, model: str) -> str:
    """The command that brings the base weights of `model` into the store."""
    target = "tiny" if spec(model).tiny else "mirror"
    return " ".join(["make", target, f"MODEL={model}", *_where(store_uri, local=_told_local())])


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


def _where(uri: str, *, local: bool) -> list[str]:
    """`STORE=…` unless it is the store that a command without it uses; for a bucket, where its Jobs are to be."""
    if uri == (Path.cwd() / "store").as_uri():
        return []
    if uri.startswith("file:"):
        return [_word("STORE", unquote(urlsplit(uri).path))]
    namespace = argument("NAMESPACE").strip()
    place = ["LOCAL=1"] if local else [_word("NAMESPACE", namespace)] if namespace else []
    return [*place, _word("STORE", uri)]


def _is_local(run: Run) -> bool:
    return any(image.startswith("local:") for image in run.images.values())


def _told_local() -> bool:
    """Whether make was told LOCAL, as the Makefile reads it."""
    return argument("LOCAL").strip() not in ("", "0", "no", "false")


def _nearest(config: RunConfig) -> tuple[str, list[str]]:
    """The shipped configuration of the same model that differs least from `config`, and the overrides left."""
    found = [
        (name, _overrides(config, shipped))
        for name, shipped in _shipped(config.prep.source)
        if shipped.model == config.model
    ]
    if not found:
        return config.model, []
    return min(found, key=lambda each: (len(each[1]), each[0]))


@lru_cache(maxsize=64)
def _shipped(source: str) -> tuple[tuple[str, RunConfig], ...]:
    """Every shipped configuration on the rows of `source`, by name."""
    files = sorted(CONFIGS.glob("*.yaml"))
    return tuple((path.stem, load_config(path, [f"prep.source={source}"])) for path in files)


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
