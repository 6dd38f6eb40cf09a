"""RunConfig says WHAT is computed and is hashed; Environment says WHERE and never is.

A RunConfig comes from one YAML file plus `key.path=value` overrides, is validated as a whole, and is frozen into the
bucket; stages read it from there. This module is the only reader of environment variables.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from fingpt.errors import ConfigError, MissingInputError, nearest
from fingpt.leaks import checked_allowances
from fingpt.models import spec
from fingpt.overrides import apply_override, complaint, forget_allowed_leaks, scorable
from fingpt.reading import Unreadable, parse_yaml
from fingpt.record import Frozen, Section, canonical_json, sha256_bytes
from fingpt.train_config import (
    Fraction,
    LoraConfig,
    Positive,
    Precision,
    ResolvedPrecision,
    Small,
    TrainConfig,
)

__all__ = [
    "HUB_TOKEN_VARIABLES",
    "CompareConfig",
    "Environment",
    "EvalConfig",
    "LoraConfig",
    "Precision",
    "PrepConfig",
    "ResolvedPrecision",
    "RunConfig",
    "TrainConfig",
    "argument",
    "certificate_variables",
    "child_environment",
    "load_config",
    "local_path",
    "parse_config",
    "pod_and_node",
    "read_environment",
    "shows_traceback",
    "source_key",
    "split_words",
    "store_uri",
]

Weeks = Annotated[int, Field(ge=0, le=5_200)]


class PrepConfig(Section):
    """How raw rows become a data set.

    `source`: `sample` (the shipped synthetic rows), a local folder or file, `s3://bucket/prefix`, or
    `hub:owner/name@commit`; submit replaces it by `raw/<hash>`, under which its bytes are in the bucket.
    `split`: `published` takes the source's own train and test, `calendar` cuts all rows by week, `auto` is `published`
    where the source has both splits and `calendar` otherwise; `random` leaks labels and must be allowed with
    `allow_leaky_split`. Blocks of whole weeks follow one another as train, embargo, validation, embargo, test;
    `embargo_weeks` is raised to what the prompts look back or the labels look ahead where that is more. A published
    split gets its validation weeks from the end of its train; with `validation_weeks` 0 it is taken as it is.
    `test_weeks`: None for 10, fewer where `origins` share the weeks. Walk-forward: `origins` test blocks of
    `test_weeks` follow one another, each tests a training on all that lies before it, and `origin` (1, the oldest, to
    `origins`) says which one this run is; submit makes a run of each. `limit`: rows to keep per split.
    `max_reject_rate`: share of unreadable rows that is tolerated.
    `allow_leaks`: rule of the leak linter → why its errors may pass; what they touch gets no verdict then.
    """

    LATER = frozenset({"allow_leaks", "origins", "origin"})

    source: str = "sample"
    limit: Positive | None = None
    split: Literal["auto", "published", "calendar", "random"] = "auto"
    allow_leaky_split: bool = False
    embargo_weeks: Annotated[Weeks, Field(ge=1)] = 4
    test_weeks: Annotated[Weeks, Field(gt=0)] | None = None
    validation_weeks: Weeks = 4
    origins: Annotated[Weeks, Field(ge=4)] | None = None
    origin: Positive | None = None
    max_reject_rate: Fraction = 0.01
    allow_leaks: dict[str, str] = Field(default_factory=dict)

    @field_validator("allow_leaks")
    @classmethod
    def _leaks_are_known_and_have_a_reason(cls, allowed: dict[str, str]) -> dict[str, str]:
        return checked_allowances(allowed)

    @model_validator(mode="after")
    def _random_split_is_allowed(self) -> Self:
        if self.split == "random" and not self.allow_leaky_split:
            raise ValueError(
                "prep.split=random prints test answers inside training prompts; use split=calendar, or allow it "
                "with prep.allow_leaky_split=true"
            )
        return self

    @model_validator(mode="after")
    def _origins_are_cut_by_week(self) -> Self:
        if self.origins and self.split not in ("auto", "calendar"):
            raise ValueError(
                f"prep.origins cuts all rows by week several times, and prep.split={self.split} does not; "
                "use prep.split=calendar"
            )
        if self.origin and self.origin > (self.origins or 0):
            wanted = (
                f"there are {self.origins} origins" if self.origins else "prep.origins is not set"
            )
            raise ValueError(
                f"prep.origin={self.origin} names no origin: {wanted}; set prep.origin from 1 to prep.origins, "
                "or leave it out for all of them"
            )
        return self


class EvalConfig(Section):
    """Label probabilities of every test row, greedy answers, scores of both; `include_base`: also of the untuned base.

    `split`: `validation` scores labels and loss of the tuned model on validation rows alone, for a sweep: no test row
    is read, nothing is answered.
    `answer_rows`: answers in prose for so many test rows only, evenly spread over the weeks; all of them when absent.
    `engine`: what writes answers; `auto` is vLLM where a GPU and vLLM are, transformers elsewhere.
    `adapter`: one that was trained elsewhere, as a folder, `s3://bucket/prefix` or `hub:owner/name@commit`; submit
    replaces it by `adapters/<hash>` after copying its bytes into the bucket. Such a run trains nothing.
    """

    LATER = frozenset({"adapter", "answer_rows", "split", "engine"})

    batch_size: Small = 16
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = 512
    include_base: bool = True
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    adapter: str | None = None
    answer_rows: Positive | None = None
    split: Literal["test", "validation"] = "test"
    engine: Literal["auto", "transformers", "vllm"] = "auto"


class CompareConfig(Section):
    """The question that a report on this run answers first, written down before anything is trained.

    `primary`: `direction` (log-loss of the label probabilities, on top of the training labels' shares, where all models
    have them; else share of right directions), `loss` (nats per answer token) or `size` (squared error of the forecast
    move). `margin`: gaps below it count as none, in the primary's unit; None for the report's own. `least_gap`: the
    largest detectable gap in accuracy, as a share, with which a run may still start.
    """

    primary: Literal["direction", "loss", "size"] = "direction"
    margin: Annotated[float, Field(gt=0)] | None = None
    least_gap: Annotated[float, Field(gt=0, lt=1)] | None = None


class RunConfig(Section):
    """WHAT a run computes: the whole of it, and nothing of where."""

    LATER = frozenset({"compare"})

    model: str
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    prep: PrepConfig = PrepConfig()
    train: TrainConfig = TrainConfig()
    eval: Annotated[EvalConfig, AfterValidator(scorable)] = EvalConfig()
    compare: CompareConfig = CompareConfig()

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
    `namespace`: that of the cluster (FINGPT_NAMESPACE), the kube context's when empty. `hub_token`: who we are to the
    hub (HF_TOKEN, or the file that HF_TOKEN_PATH names, as the hub's own client has it).
    """

    store: str
    cache: Path
    namespace: str = ""
    hub_token: SecretStr | None = None


_THREADS = re.compile(r"0*[1-9]\d{0,4}(\s*,\s*0*[1-9]\d{0,4})*")  # of each level of nesting


def read_environment() -> Environment:
    """Read the site's environment variables, once, here; ConfigError for a value that nothing can work with."""
    _check_threads()
    token = _variable("HF_TOKEN") or _content(_variable("HF_TOKEN_PATH"))
    return Environment(
        store=store_uri(os.environ.get("FINGPT_STORE", "")),
        cache=local_path(_variable("FINGPT_CACHE") or "~/.cache/fingpt-jobs"),
        namespace=_variable("FINGPT_NAMESPACE"),
        hub_token=SecretStr(token) if token else None,
    )


def _check_threads() -> None:
    """ConfigError for a number of threads that OpenMP would not take: it says so without a value, and takes another."""
    threads = _variable("OMP_NUM_THREADS")
    if threads and not _THREADS.fullmatch(threads):
        raise ConfigError(
            f"OMP_NUM_THREADS is {threads[:40]!r} where a number of threads from 1 is expected; correct it or unset it."
        )


def shows_traceback() -> bool:
    """Whether an unexpected error is to show its traceback (FINGPT_DEBUG=1)."""
    return _variable("FINGPT_DEBUG") not in ("", "0")


def certificate_variables() -> dict[str, Path]:
    """The files of certificate authorities that libraries are told to trust, by the variable that names each."""
    names = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    return {name: Path(_variable(name)).expanduser() for name in names if _variable(name)}


def source_key(source: str) -> SecretStr | None:
    """The key of a source of data: FINGPT_<SOURCE>_KEY, or what the file that FINGPT_<SOURCE>_KEY_FILE names holds.

    None where neither is set; MissingInputError for a file that cannot be read or is empty.
    """
    variable = f"FINGPT_{source.upper()}_KEY"
    path = _variable(f"{variable}_FILE")
    key = _variable(variable) or _content(path)
    if path and not key:
        raise MissingInputError(
            f"{variable}_FILE names {path}, which is empty or cannot be read; name the file that holds the key."
        )
    return SecretStr(key) if key else None


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


def split_names(text: str, name: str) -> list[str]:
    """Ids or models between blanks; ConfigError with the right line for commas between them, which none of them has."""
    if "," in text:
        words = " ".join(text.replace(",", " ").split())
        raise ConfigError(
            f'{name} takes names with blanks between them, not commas: {name}="{words[:200]}".'
        )
    return split_words(text, name)


def argument(name: str) -> str:
    """What `make` was given as the variable `name`, empty for nothing; most options read theirs by `envvar=`."""
    return os.environ.get(f"FINGPT_ARG_{name}", "")


def pod_and_node() -> tuple[str, str]:
    """Names of the pod that this process is in and of its node; outside our pods there is none, but this machine."""
    host, node = socket.gethostname(), _variable("FINGPT_NODE")
    return (_variable("FINGPT_POD") or host, node) if node else ("", host)


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
        known = (file.stem for file in path.parent.glob("[!.]*.yaml"))
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
    forget_allowed_leaks(data, overrides)
    for override in overrides:
        apply_override(data, override, RunConfig)
    return parse_config(data, str(path), overrides)


def parse_config(data: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> RunConfig:
    """Validate a whole configuration; ConfigError with one sentence per fault, and which of `overrides` made it."""
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        faults = complaint(error.errors(), RunConfig, where, overrides, argument)
        raise ConfigError(faults) from None
