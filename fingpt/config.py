"""RunConfig says WHAT is computed and is hashed; Environment says WHERE and never is.

A RunConfig comes from one YAML file plus `key.path=value` overrides, is validated as a whole, and is frozen into the
bucket; stages read it from there. This module is the only reader of environment variables.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from fingpt.errors import ConfigError, MissingInputError, nearest
from fingpt.models import LINEAR_LAYERS, spec
from fingpt.reading import Unreadable, parse_yaml
from fingpt.record import Frozen, canonical_json, sha256_bytes

Precision = Literal["auto", "bf16", "fp16", "fp32"]
ResolvedPrecision = Literal["bf16", "fp16", "fp32"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


class PrepConfig(Frozen):
    """How raw rows become a data set.

    `source`: `sample` (the shipped synthetic rows), a local folder or file, `s3://bucket/prefix`, or
    `hub:owner/name@commit`; submit replaces it by `raw/<hash>`, under which its bytes are in the bucket.
    `split`: `published` takes the source's own train and test, `calendar` cuts all rows by week, `auto` is `published`
    where the source has both splits and `calendar` otherwise; `random` leaks labels and must be allowed with
    `allow_leaky_split`. `limit`: rows to keep per split. `max_reject_rate`: share of unreadable rows that is tolerated.
    """

    source: str = "sample"
    limit: Positive | None = None
    split: Literal["auto", "published", "calendar", "random"] = "auto"
    allow_leaky_split: bool = False
    embargo_weeks: Annotated[int, Field(ge=1)] = 1
    test_weeks: Positive = 10
    validation_weeks: Annotated[int, Field(ge=0)] = 0
    max_reject_rate: Fraction = 0.01

    @model_validator(mode="after")
    def _random_split_is_allowed(self) -> Self:
        if self.split == "random" and not self.allow_leaky_split:
            raise ValueError(
                "prep.split=random prints test answers inside training prompts; use split=calendar, or allow it "
                "with prep.allow_leaky_split=true"
            )
        return self


class LoraConfig(Frozen):
    """Low-rank adapters (Hu et al. 2021): rank `r`, scale `alpha`/`r`, dropout on their input, target layers."""

    r: Positive = 16
    alpha: Positive = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: tuple[str, ...] = LINEAR_LAYERS

    @field_validator("targets")
    @classmethod
    def _targets_are_known(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        if not targets:
            raise ValueError("at least one target layer is needed")
        for name in targets:
            if name not in LINEAR_LAYERS:
                raise ValueError(
                    f"'{name}' is no linear layer of a Llama; {nearest(name, LINEAR_LAYERS)}"
                )
        return targets


class TrainConfig(Frozen):
    """LoRA training; one optimizer step sees batch_size × accumulation × processes rows.

    `lr` is the peak learning rate, `warmup_ratio` the share of steps it takes to reach it. `zero_stage` turns DeepSpeed
    on. `max_tokens` bounds prompt plus answer. `eval_every` is a share of the run, `save_every` counts steps.
    `deterministic` asks for bit-equal repeats on the same machine type.
    """

    lora: LoraConfig = LoraConfig()
    lr: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    warmup_ratio: Fraction = 0.03
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    epochs: Annotated[float, Field(gt=0)] = 2.0
    max_steps: Positive | None = None
    batch_size: Positive = 1
    accumulation: Positive = 16
    processes: Positive = 1
    optimizer: Literal["adamw", "zero_one_adam"] = "adamw"
    zero_stage: Literal[0, 1, 2] | None = None
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    max_tokens: Annotated[int, Field(ge=64, le=131072)] = 4096
    save_every: Positive = 50
    eval_every: Annotated[float, Field(gt=0, le=1)] = 0.1
    deterministic: bool = True

    def steps(self, rows: int) -> tuple[int, int]:
        """Optimizer steps of one epoch over `rows` rows (at least one), and of the whole training."""
        per_epoch = ceil(rows / (self.batch_size * self.accumulation * self.processes))
        return per_epoch, self.max_steps or ceil(self.epochs * per_epoch)

    @model_validator(mode="after")
    def _zero_one_adam_has_what_it_needs(self) -> Self:
        if self.optimizer == "zero_one_adam":
            if self.zero_stage != 0:
                raise ValueError(
                    "train.optimizer=zero_one_adam needs train.zero_stage=0: 0/1 Adam asserts that ZeRO is off"
                )
            if self.processes < 2:
                raise ValueError(
                    "train.optimizer=zero_one_adam needs train.processes ≥ 2: with one rank it silently drops most "
                    "gradients (308 of 380 steps in the reference run); use optimizer=adamw"
                )
        if self.precision == "fp16" and self.zero_stage is None:
            raise ValueError(
                "train.precision=fp16 needs loss scaling by DeepSpeed: set train.zero_stage, or use bf16"
            )
        return self


class EvalConfig(Frozen):
    """Greedy generation and scoring of every test row; `include_base` scores the untuned base beside the adapter.

    `adapter`: one that was trained elsewhere, as a folder, `s3://bucket/prefix` or `hub:owner/name@commit`; submit
    replaces it by `adapters/<hash>` after copying its bytes into the bucket. Such a run trains nothing.
    """

    batch_size: Positive = 16
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = 512
    include_base: bool = True
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    adapter: str | None = None

    @model_serializer(mode="wrap")
    def _without_absent_adapter(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A run without a foreign adapter is written, and hashed, as before there were any."""
        plain: dict[str, Any] = fields(self)
        if self.adapter is None:
            del plain["adapter"]
        return plain


class RunConfig(Frozen):
    """WHAT a run computes: the whole of it, and nothing of where."""

    model: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    prep: PrepConfig = PrepConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @field_validator("model")
    @classmethod
    def _model_is_known(cls, model: str) -> str:
        try:
            return spec(model).key
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @property
    def sha256(self) -> str:
        """Hex sha256 of the canonical JSON: the identity of the configuration."""
        return sha256_bytes(canonical_json(self))


class Environment(Frozen):
    """WHERE a run works: never hashed, never stored.

    `store`: URI of the object store (FINGPT_STORE, a folder or a URI; default `./store`); the endpoint and keys of an
    S3 store come from the standard AWS variables. `cache`: folder for verified copies of base weights (FINGPT_CACHE).
    `namespace`: that of the cluster (FINGPT_NAMESPACE), the kube context's when empty. `debug`: show the traceback of
    an unexpected error (FINGPT_DEBUG=1). `hub_token`: who we are to the hub (HF_TOKEN, or the file that HF_TOKEN_PATH
    names, as the hub's own client has it).
    """

    store: str
    cache: Path
    debug: bool = False
    namespace: str = ""
    hub_token: SecretStr | None = None


def read_environment() -> Environment:
    """Read the site's environment variables, once, here."""
    token = _variable("HF_TOKEN") or _content(_variable("HF_TOKEN_PATH"))
    return Environment(
        store=store_uri(os.environ.get("FINGPT_STORE", "")),
        cache=local_path(_variable("FINGPT_CACHE") or "~/.cache/fingpt-jobs"),
        debug=_variable("FINGPT_DEBUG") not in ("", "0"),
        namespace=_variable("FINGPT_NAMESPACE"),
        hub_token=SecretStr(token) if token else None,
    )


def certificate_variables() -> dict[str, Path]:
    """The files of certificate authorities that libraries are told to trust, by the variable that names each."""
    names = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    return {name: Path(_variable(name)).expanduser() for name in names if _variable(name)}


def store_uri(text: str) -> str:
    """The URI of the store that a person names by a folder or a URI; of `./store` where `text` is blank.

    A folder is taken as it is written, but for a `~` in front, and percent-encoded; `open_store` decodes every `file:`
    URI once. (A folder whose name begins like a URI: ./s3:x.)
    """
    if "://" in text or text.strip().startswith(("s3:", "file:")):
        return text.strip()
    return local_path(text if text.strip() else "store").absolute().as_uri()


def local_path(text: str) -> Path:
    """The file or folder that a person names: only a `~` in front means something else than is written.

    Shells leave it alone in quotes, so it is expanded here. ConfigError where there is no such home, and for a web
    address, which is not shown: it may hold a password or a signature.
    """
    scheme, mark, _ = text.strip().partition("://")
    if mark and scheme.isalnum():
        raise ConfigError(
            f"A path is expected, not an address that begins with {scheme[:20]}://; download what it names, and give "
            "the file or folder."
        )
    try:
        return Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        raise ConfigError(
            f"'{text}' begins with '~', but there is no such home folder; write the whole path, or ./~ for that name."
        ) from None


def split_words(text: str, name: str) -> list[str]:
    """Words between blanks, with quotes as in a shell for words that contain some; ConfigError when one stays open.

    Nothing else that a shell knows has a meaning here.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"{name} cannot be read ({str(error).lower()}): {text[:80]!r}; close each quote, and write \\\\' for an "
            "apostrophe."
        ) from None


def argument(name: str) -> str:
    """What `make` was given as the variable `name`, empty for nothing; most options read theirs by `envvar=`."""
    return os.environ.get(f"FINGPT_ARG_{name}", "")


def pod_and_node() -> tuple[str, str]:
    """Names of the pod that this process is in and of its node; outside our pods there is none, but this machine."""
    host, node = socket.gethostname(), _variable("FINGPT_NODE")
    return (host, node) if node else ("", host)


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


def _content(path: str) -> str:
    """What a small file holds; nothing where it cannot be read, as the hub's own client has it with its token."""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        return ""


HUB_TOKEN_VARIABLES = frozenset({"HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN"})
"""Where the hub's client looks for a token; only a mirror needs one."""


def child_environment(**changes: str) -> dict[str, str]:
    """A copy of this process's environment with `changes`, for child processes."""
    return {**os.environ, **changes}


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Load a RunConfig from a YAML file and apply `key.path=value` overrides, whose values are YAML; text settings are
    taken as they are written.

    Raises MissingInputError when there is no such file, ConfigError naming key, value and expectation otherwise.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = (file.stem for file in path.parent.glob("*.yaml"))
        raise ConfigError(
            f"There is no configuration '{path.stem}' in {path.parent}; {nearest(path.stem, known)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MissingInputError(f"Configuration {path} cannot be read: {error}.") from None
    try:
        data = parse_yaml(text)
    except Unreadable as fault:
        raise ConfigError(f"{path} {fault}; write plain settings, as in jobs/configs.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a mapping of settings at its top level.")
    for override in overrides:
        _apply(data, override)
    return parse_config(data, where=str(path))


def parse_config(data: Mapping[str, Any], where: str) -> RunConfig:
    """Validate a whole configuration; ConfigError with one sentence per fault."""
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_sentence(dict(fault)).rstrip(".") for fault in error.errors())
        raise ConfigError(f"{where}: {faults}{'' if faults.endswith('?') else '.'}") from None


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"Override '{override}' must look like 'train.lr=1e-4'.")
    node = data
    for depth, part in enumerate(parts[:-1], start=1):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise ConfigError(
                f"Override '{override}': '{'.'.join(parts[:depth])}' is a value, not a section."
            )
        node = child
    node[parts[-1]] = text if _is_text(parts) else _scalar(text)


def _is_text(parts: Sequence[str]) -> bool:
    """Whether the setting of that name is plain text, such as a path, in which YAML would see comments or numbers."""
    model: Any = RunConfig
    for part in parts:
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return False
        model = fields[part].annotation
    return model in (str, str | None)


def _scalar(text: str) -> Any:
    """YAML's reading of `text`, with `1e-4` as the number people mean (YAML 1.1 wants `1.0e-4`)."""
    try:
        value = parse_yaml(text)
    except Unreadable:
        return text
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _sentence(fault: dict[str, Any]) -> str:
    path = ".".join(str(part)[:80] for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return (
            f"'{path}' is no setting; {nearest(fault['loc'][-1], _known_keys(fault['loc'][:-1]))}"
        )
    message = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    message = message if len(message) <= 400 else f"{message[:400]}…"
    if fault["type"] == "missing":
        return f"'{path}' is missing"
    if fault["type"] == "value_error":
        return message
    return f"'{path}' is {_shown(fault['input'])}, but {message[0].lower()}{message[1:]}"


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _known_keys(section: Sequence[int | str]) -> list[str]:
    model: Any = RunConfig
    for part in section:
        model = model.model_fields[str(part)].annotation
    return list(model.model_fields)
