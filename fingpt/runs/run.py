"""The Run: its identity, and every key of the bucket in one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from fingpt.config import RunConfig
from fingpt.errors import DataError
from fingpt.record import Frozen, canonical_json, sha256_bytes, sha256_file, tree_sha256


class Stage(StrEnum):
    """The stages of a run, in order; folders, entry points, images and bucket prefixes have these names."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"


class Run(Frozen):
    """One run: a frozen configuration and the images (or the local code) that compute it.

    `id` is `<model>-<8 hex>` of both, safe as a DNS label and at most 40 characters: new code or a new configuration is
    a new run, the same ones resume it.
    """

    id: str
    config: RunConfig
    images: dict[str, str]

    @classmethod
    def of(cls, config: RunConfig, images: dict[str, str]) -> Run:
        """The run of `config` computed by `images` (stage → digest)."""
        digest = sha256_bytes(canonical_json([config.sha256, images]))
        return cls(id=f"{config.model[:31]}-{digest[:8]}", config=config, images=images)

    def encode(self) -> bytes:
        """The bytes of run.json."""
        return canonical_json({**self.model_dump(mode="json"), "config_sha256": self.config.sha256})

    @classmethod
    def decode(cls, data: bytes) -> Run:
        """Read run.json and verify that the configuration has the hash and the id it claims; DataError otherwise."""
        try:
            fields = json.loads(data)
            claimed = fields.pop("config_sha256")
            run = cls.model_validate(fields)
        except (ValueError, ValidationError, KeyError, TypeError, AttributeError):
            raise DataError(
                "run.json is not a run of this version; submit the run again."
            ) from None
        if run.config.sha256 != claimed or cls.of(run.config, run.images).id != run.id:
            raise DataError(
                f"run.json of {run.id} does not match its own hashes: configuration {run.config.sha256[:8]}, "
                f"claimed {str(claimed)[:8]}; the object was changed, submit the run again."
            )
        return run


def code_digest(root: Path) -> str:
    """sha256 over the project's Python sources: what stands for an image digest when stages run as local processes."""
    files = sorted(path for folder in ("fingpt", "jobs") for path in (root / folder).rglob("*.py"))
    return tree_sha256((path.relative_to(root).as_posix(), sha256_file(path)) for path in files)


def raw_prefix(source_id: str) -> str:
    """Frozen source files, under the hash of their names and bytes."""
    return f"raw/{source_id}"


def dataset_prefix(dataset_id: str) -> str:
    """A data set's files and its manifest."""
    return f"datasets/{dataset_id}"


def dataset_manifest_key(dataset_id: str) -> str:
    """The data set's manifest, written last."""
    return f"{dataset_prefix(dataset_id)}/manifest.json"


def base_manifest_key(base_prefix: str) -> str:
    """Manifest of base weights, written last; `base_prefix` is `ModelSpec.base_prefix`."""
    return f"{base_prefix}/manifest.json"


def run_prefix(run_id: str) -> str:
    """Everything of one run."""
    return f"runs/{run_id}"


def run_key(run_id: str) -> str:
    """The frozen run, created once at submit."""
    return f"{run_prefix(run_id)}/run.json"


def stage_prefix(run_id: str, stage: Stage) -> str:
    """A stage's files."""
    return f"{run_prefix(run_id)}/{stage}"


def complete_key(run_id: str, stage: Stage) -> str:
    """A stage's manifest: its presence, with matching hashes, is the only proof of success."""
    return f"{stage_prefix(run_id, stage)}/COMPLETE.json"


def checkpoint_prefix(run_id: str, step: int, nonce: str) -> str:
    """One checkpoint's files; the nonce makes the prefix unique, so nothing is ever overwritten."""
    return f"{stage_prefix(run_id, Stage.TRAIN)}/ckpt/{step:06d}-{nonce}"


def commit_key(run_id: str, n: int) -> str:
    """Commit n (from 1) of the checkpoint log."""
    return f"{stage_prefix(run_id, Stage.TRAIN)}/commits/{n:06d}.json"


def predictions_key(run_id: str, variant: str, chunk: int) -> str:
    """Answers of one chunk of test rows; `variant` is `base` or `tuned`."""
    return f"{stage_prefix(run_id, Stage.EVAL)}/predictions/{variant}/{chunk:04d}.jsonl"


def claim_key(run_id: str, stage: Stage, n: int) -> str:
    """Claim of attempt n (from 1) of a stage."""
    return f"{stage_prefix(run_id, stage)}/claims/{n:06d}.json"


def heartbeat_key(run_id: str, stage: Stage, attempt: int, n: int) -> str:
    """Heartbeat n (from 1) of an attempt."""
    return f"{stage_prefix(run_id, stage)}/heartbeats/{attempt:06d}/{n:06d}.json"


def attempt_key(run_id: str, stage: Stage, n: int) -> str:
    """How attempt n ended."""
    return f"{stage_prefix(run_id, stage)}/attempts/{n:06d}.json"


def last_number(exists: Callable[[str], bool], key: Callable[[int], str]) -> int:
    """The last n (from 1) whose key exists, 0 if none: by doubling and bisection, never by listing.

    Numbered keys have no gaps, since each is created after its predecessor.
    """
    low, high = 0, 1
    while exists(key(high)):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if exists(key(middle)):
            low = middle
        else:
            high = middle
    return low


def report_prefix(report_id: str) -> str:
    """A comparative report's files."""
    return f"reports/{report_id}"
