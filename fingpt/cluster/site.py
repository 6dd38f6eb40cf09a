"""The settings of one installation, which the chart writes into a ConfigMap: which bucket, which images, which nodes.

Nothing that a run computes: that is the RunConfig. Of Secrets it holds the names only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from fingpt.errors import ConfigError, nearest
from fingpt.reading import parse_json
from fingpt.record import Frozen

CONFIG_MAP = "fingpt-jobs"

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_STORE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*[A-Za-z0-9._-])?")


def _matches(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(expected)
        return text

    return AfterValidator(check)


Quantity = Annotated[
    str, _matches(_QUANTITY, "expected a Kubernetes quantity such as 500m, 4 or 16Gi")
]
Name = Annotated[str, _matches(_OBJECT_NAME, "expected the name of a Kubernetes object")]
NameOrNone = Annotated[
    str,
    _matches(
        re.compile(f"({_OBJECT_NAME.pattern})?"),
        "expected the name of a Kubernetes object, or nothing",
    ),
]
StoreUri = Annotated[
    str, _matches(_STORE, "expected s3://bucket or s3://bucket/prefix, without a final slash")
]


class Resources(Frozen):
    """What a stage's container asks for and may not exceed.

    `memory` includes /dev/shm. `ephemeral` is the local disk: scratch, tmp, logs and, without a claim, the cache.
    """

    cpu: Quantity
    memory: Quantity
    ephemeral: Quantity


class Images(Frozen):
    """Image of each stage, best with its digest; drive and mirror run in prep's, tiny bases are made in train's."""

    prep: Annotated[str, Field(min_length=1)]
    train: Annotated[str, Field(min_length=1)]
    eval: Annotated[str, Field(min_length=1)]


class StageResources(Frozen):
    """Resources per kind of Job; a kind left out keeps those of its file in k8s/."""

    prep: Resources | None = None
    train: Resources | None = None
    eval: Resources | None = None
    drive: Resources | None = None
    mirror: Resources | None = None


class Toleration(Frozen):
    """A toleration of our pods; the fields are Kubernetes' own."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = Field(default=None, alias="tolerationSeconds")


class Site(Frozen):
    """The settings of one installation, as in the ConfigMap `fingpt-jobs`; an empty string means none.

    `store`: s3://bucket/prefix. `endpoint`: URL of the S3 server as pods see it, empty for AWS. `s3_secret`: Secret
    with the key `credentials`, empty where pods get their identity from the platform. `hub_endpoint`: URL of the hub as
    pods see it, empty for huggingface.co. `hub_secret`: Secret with the key `token`. `queue`: Kueue's LocalQueue.
    `cache_claim`: volume claim for base weights, else an emptyDir of `cache_size`. `node_selector` and `tolerations` go
    to every pod, `runtime_class` to those with GPUs. `deadline_seconds`: longest life of a stage's Job. `tiny_gpu`:
    tiny models ask for GPUs too.
    """

    model_config = ConfigDict(alias_generator=to_camel)

    store: StoreUri
    endpoint: str = ""
    region: str = "us-east-1"
    s3_secret: NameOrNone = ""
    hub_endpoint: str = ""
    hub_secret: NameOrNone = ""
    images: Images
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[Name, ...] = ()
    gpu_resource: Annotated[str, Field(pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = "nvidia.com/gpu"
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    queue: NameOrNone = ""
    cache_claim: NameOrNone = ""
    cache_size: Quantity = "36Gi"
    resources: StageResources = StageResources()
    runtime_class: NameOrNone = ""
    deadline_seconds: Annotated[int, Field(gt=0)] = 172800
    tiny_gpu: bool = False

    @classmethod
    def of(cls, data: Mapping[str, str], where: str = f"ConfigMap {CONFIG_MAP}") -> Self:
        """Read the ConfigMap's data; ConfigError names every faulty key of `where`."""
        values = {key: _decoded(key, text, where) for key, text in data.items()}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            faults = "; ".join(dict.fromkeys(_describe(dict(fault)) for fault in error.errors()))
            raise ConfigError(
                f"{where}: {faults}; correct the chart's values and run helm upgrade."
            ) from None

    @model_validator(mode="after")
    def _endpoints_are_urls(self) -> Self:
        for name, url in (("endpoint", self.endpoint), ("hubEndpoint", self.hub_endpoint)):
            if url and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", url):
                raise ValueError(
                    f"'{name}' must look like https://host:port and hold no user name or password"
                )
        return self


_STRUCTURED = ("images", "pullSecrets", "nodeSelector", "tolerations", "resources")


def _decoded(key: str, text: str, where: str) -> Any:
    """A ConfigMap holds strings: five of them are JSON, and an empty one of those means the default."""
    if key not in _STRUCTURED:
        return text
    try:
        return parse_json(text.encode())
    except ValueError:
        raise ConfigError(
            f"{where}: '{key}' must be JSON but is {text[:60]!r}; correct the chart's values and run helm upgrade."
        ) from None


def _describe(fault: dict[str, Any]) -> str:
    loc = [str(part)[:80] for part in fault["loc"]]
    path = ".".join(loc)
    if fault["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in Site.model_fields.items()]
        hint = nearest(loc[0], known) if len(loc) == 1 else "that section has no such key"
        return f"'{path}' is no setting; {hint.rstrip('.')}"
    if fault["type"] == "missing":
        return f"'{path}' is missing"
    message = str(fault["msg"]).removeprefix("Value error, ").rstrip(".")
    if not path:
        return message
    return f"'{path}' is {repr(fault['input'])[:80]}, but {message[0].lower()}{message[1:]}"
