"""The Run: its identity, and every key of the bucket in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from fingpt.config import RunConfig
from fingpt.errors import DataError, StorageError
from fingpt.reading import parse_object
from fingpt.record import Frozen, canonical_json, sha256_bytes, sha256_file, tree_sha256


class Stage(StrEnum):
    """The stages of a run, in order; folders, entry points, images and bucket prefixes have these names."""

    PREP = "prep"
    TRAIN = "train"
    EVAL = "eval"


_SHORT, _LONG = 8, 12
"""Digits of a run's whole hash in its id. Of 10,000 runs two share eight in one store of a hundred."""

_MODEL = 39
"""Characters of an id without its hyphen."""


class Run(Frozen):
    """One run: a frozen configuration and the images (or the local code) that compute it.

    `id` is `<model>-<8 hex>` of both, safe as a DNS label and at most 40 characters: new code or a new configuration is
    a new run, the same ones resume it. A run whose eight digits another run of the store had first has twelve
    (`freeze.create_run`).
    """

    id: str
    config: RunConfig
    images: dict[str, str]

    @classmethod
    def of(cls, config: RunConfig, images: dict[str, str]) -> Run:
        """The run of `config` computed by `images` (stage → digest)."""
        run_id = _id(config.model, _identity(config, images), _SHORT)
        return cls(id=run_id, config=config, images=images)

    @property
    def longer(self) -> Run:
        """The same run under its longer id."""
        return self.model_copy(update={"id": _id(self.config.model, self.sha256, _LONG)})

    def named(self, run_id: str) -> Run:
        """The same run under `run_id` where that is its longer id, else under its short one."""
        longer = self.longer
        return longer if run_id == longer.id else Run.of(self.config, self.images)

    @property
    def sha256(self) -> str:
        """The whole hash of configuration and images, of which the id has the first digits."""
        return _identity(self.config, self.images)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages that this run has, in order: one that evaluates a foreign adapter trains nothing."""
        foreign = self.config.eval.adapter is not None
        return tuple(stage for stage in Stage if not (foreign and stage is Stage.TRAIN))

    def encode(self) -> bytes:
        """The bytes of run.json."""
        return canonical_json({**self._fields(), "sha256": self.sha256})

    def is_encoded_as(self, data: bytes) -> bool:
        """Whether `data` is this run's run.json, as written now or before it held the whole hash."""
        return data == self.encode() or self.is_encoded_without_hash(data)

    def is_encoded_without_hash(self, data: bytes) -> bool:
        """Whether `data` is this run's run.json from before it held the whole hash, and sources a manifest."""
        return data == canonical_json(self._fields())

    def _fields(self) -> dict[str, object]:
        return {**self.model_dump(mode="json"), "config_sha256": self.config.sha256}

    @classmethod
    def decode(cls, data: bytes, where: str = "run.json") -> Run:
        """Read run.json and verify that its content has the hashes and the id it claims; DataError naming `where`.

        A run.json from before it held the whole hash is read, too: that hash follows from the rest.
        """
        try:
            fields = parse_object(data)
            claimed, whole = fields.pop("config_sha256"), fields.pop("sha256", None)
            run = cls.model_validate(fields)
        except (ValueError, ValidationError, KeyError):
            raise DataError(
                f"{where} is not a run of this version; remove it and submit the run again."
            ) from None
        model, digest = run.config.model, run.sha256
        sound = run.config.sha256 == claimed and whole in (None, digest)
        if not sound or run.id not in {_id(model, digest, n) for n in (_SHORT, _LONG)}:
            raise DataError(
                f"{where} of {run.id[:60]} does not match its own hashes: configuration {run.config.sha256[:8]}, "
                f"claimed {str(claimed)[:8]}; the object was changed, remove it and submit the run again."
            )
        return run


def _identity(config: RunConfig, images: Mapping[str, str]) -> str:
    return sha256_bytes(canonical_json([config.sha256, dict(images)]))


def _id(model: str, digest: str, digits: int) -> str:
    return f"{model[: _MODEL - digits]}-{digest[:digits]}"


def has_model(run_id: str, model: str) -> bool:
    """Whether an id is that of a run of `model`, whose name is cut where it is long."""
    name, _, digits = run_id.rpartition("-")
    return name == model[: _MODEL - len(digits)]


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


def shared_prep_key(digest: str) -> str:
    """Which run came first with a prep; `digest` hashes all that decides its data set."""
    return f"prep/{digest}.json"


def opening_key(dataset_id: str, run_id: str) -> str:
    """The record that a run's eval has opened the test split of a data set."""
    return f"openings/{dataset_id}/{run_id}-eval.json"


def base_manifest_key(base_prefix: str) -> str:
    """Manifest of base weights, written last; `base_prefix` is `ModelSpec.base_prefix`."""
    return f"{base_prefix}/manifest.json"


def adapter_prefix(adapter_id: str) -> str:
    """A foreign adapter's files, under the hash of their bytes, and its manifest."""
    return f"adapters/{adapter_id}"


def adapter_manifest_key(prefix: str) -> str:
    """Manifest of a foreign adapter, written last; `prefix` is `adapter_prefix`."""
    return f"{prefix}/manifest.json"


def run_prefix(run_id: str) -> str:
    """Everything of one run."""
    return f"runs/{run_id}"


def run_key(run_id: str) -> str:
    """The frozen run, created once at submit."""
    return f"{run_prefix(run_id)}/run.json"


def trial_key(run_id: str) -> str:
    """The note that a run is a trial of a sweep: nobody trains it further than that, or opens its test rows."""
    return f"{run_prefix(run_id)}/trial.json"


FROZEN = "index/frozen/"
"""One folder per run; its name begins with the time left to a far day, so that a listing has the newest first."""

_FAR_MILLISECONDS = 10**13  # the year 2286


def frozen_key(run_id: str, moment: datetime) -> str:
    """The record that a run was frozen at `moment`, for lists alone."""
    left = max(_FAR_MILLISECONDS - round(moment.timestamp() * 1000), 0)
    return f"{FROZEN}{left:013d}-{run_id}/frozen.json"


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


def engine_key(run_id: str) -> str:
    """Which engine the answers of an evaluation are made with (`fingpt.eval.engine`)."""
    return f"{stage_prefix(run_id, Stage.EVAL)}/engine.json"


LABEL_ROWS = 256
"""Rows of one stored chunk of label scores: tens of seconds of an 8B model on a GPU, which an interruption costs."""


def labels_key(run_id: str, variant: str, arm: str, chunk: int) -> str:
    """Label log-likelihoods of one chunk of the prompts of `arm` (`fingpt.eval.arms`)."""
    return f"{stage_prefix(run_id, Stage.EVAL)}/labels/{variant}/{arm}-{chunk:04d}.jsonl"


def claim_key(run_id: str, stage: Stage, n: int) -> str:
    """Claim of attempt n (from 1) of a stage."""
    return f"{stage_prefix(run_id, stage)}/claims/{n:06d}.json"


def heartbeat_key(run_id: str, stage: Stage, attempt: int, n: int) -> str:
    """Heartbeat n (from 1) of an attempt."""
    return f"{stage_prefix(run_id, stage)}/heartbeats/{attempt:06d}/{n:06d}.json"


def attempt_key(run_id: str, stage: Stage, n: int) -> str:
    """How attempt n ended."""
    return f"{stage_prefix(run_id, stage)}/attempts/{n:06d}.json"


def node_key(run_id: str, attempt: int, node: int) -> str:
    """Where node `node` (from 0) of a training on several nodes works in attempt `attempt`."""
    return f"{stage_prefix(run_id, Stage.TRAIN)}/nodes/{attempt:06d}/{node:03d}.json"


def node_ending_key(run_id: str, attempt: int, node: int) -> str:
    """How that node's part of the attempt ended; a node that was killed leaves none."""
    return f"{stage_prefix(run_id, Stage.TRAIN)}/nodes/{attempt:06d}/{node:03d}-ended.json"


_MOST_NUMBERS = 1 << 24
"""More heartbeats than five years have, and more than any run makes of anything else."""


def last_number(exists: Callable[[str], bool], key: Callable[[int], str]) -> int:
    """The last n (from 1) whose key exists, 0 if none: by doubling and bisection, never by listing.

    Numbered keys have no gaps, since each is created after its predecessor. StorageError when there is a number that
    no run reaches.
    """
    low, high = 0, 1
    while exists(key(high)):
        low, high = high, high * 2
        if high > _MOST_NUMBERS:
            raise StorageError(
                f"{key(low)} is there, a number that no run reaches; find out who wrote it, and remove it."
            )
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
