"""What each stage leaves behind: typed manifests, written last, that name every byte by its sha256."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from fingpt.config import LoraConfig
from fingpt.errors import StorageError
from fingpt.leaks import Touched
from fingpt.reading import parse_object
from fingpt.record import FileRef, Frozen, canonical_json, sha256_bytes, tree_sha256

SCHEMA_VERSION = 1

M = TypeVar("M", bound=Frozen)


def encode(manifest: Frozen) -> bytes:
    """The stored bytes of a manifest: canonical JSON sealed by the sha256 of its own content."""
    body = manifest.model_dump(mode="json")
    return canonical_json({**body, "seal": sha256_bytes(canonical_json(body))})


def decode(kind: type[M], data: bytes, key: str) -> M:
    """Read a sealed manifest; StorageError naming `key` when a byte was changed or it is of another kind."""
    try:
        body = parse_object(data)
        seal = body.pop("seal")
        if sha256_bytes(canonical_json(body)) != seal:
            raise ValueError
        return kind.model_validate(body)
    except (ValueError, ValidationError, KeyError):
        raise StorageError(
            f"{key} is not the {kind.__name__} that was written there: its seal does not match; "
            "restore the object, or delete it and give the command that made it again."
        ) from None


class Finding(Frozen):
    """One finding of the leak linter: `count` of `of` rows of `split` (`all`: of every split), with one example.

    `score`: share of right directions, 0 to 1, that the leak alone would have on the rows that it touches, where that
    was measured. `touches`: what it spoils (fingpt/leaks.py). `allowed`: why the configuration lets an error pass.
    """

    rule: str
    severity: str
    split: str = "all"
    count: int
    of: int
    text: str
    example: str = ""
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    touches: tuple[Touched, ...] = ()
    allowed: str = ""


class DatasetManifest(Frozen):
    """A data set under `datasets/<id>/`; `id` is the sha256 of its files' hashes and rules, shortened to 16 digits.

    `counts`: rows kept per split. `rejects`: rows refused by reason. `dropped`: readable rows left out (embargo,
    purge, limit). `leaky`: the split was random, its own or that of foreign files, and every report must say so first.
    `weeks`: distinct weeks per split. `dates`: per split that has rows, the first as-of date and the last end of a
    forecast. `embargo_weeks`: least gap between blocks, 0 where none was kept (or recorded). `origin` of `origins`:
    the walk-forward block that is tested, None for a single split.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    source: str
    split_rule: str
    leaky: bool = False
    counts: dict[str, int]
    weeks: dict[str, int]
    dates: dict[str, tuple[date, date]] = Field(default_factory=dict)
    embargo_weeks: int = 0
    origin: int | None = None
    origins: int | None = None
    rejects: dict[str, int] = Field(default_factory=dict)
    dropped: dict[str, int] = Field(default_factory=dict)
    notes: dict[str, int] = Field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    files: tuple[FileRef, ...]


class BaseManifest(Frozen):
    """Base weights under `models/<base>@<revision>/`; `sha256` is the hash over the files' names and hashes."""

    schema_version: int = SCHEMA_VERSION
    base: str
    revision: str
    files: tuple[FileRef, ...]

    @property
    def sha256(self) -> str:
        """Identity of the weights, configuration and tokenizer together."""
        return tree_sha256((file.name, file.sha256) for file in self.files)


class AdapterManifest(Frozen):
    """A foreign adapter under `adapters/<id>/`, checked against the base it is for; `id` hashes its files (named
    `adapter/…`), shortened to 32 digits. Its configuration is ours, made from `lora`.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    base: str
    revision: str
    lora: LoraConfig
    files: tuple[FileRef, ...]

    @property
    def files_id(self) -> str:
        """What `id` has to be: the hash of names and hashes of the files."""
        names = ((file.name.removeprefix("adapter/"), file.sha256) for file in self.files)
        return tree_sha256(sorted(names))[:32]


class Measured(Frozen):
    """How long each phase took, in seconds, and the libraries and the machine that the numbers come from."""

    seconds: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, str] = Field(default_factory=dict)


class StageManifest(Measured):
    """What every stage's COMPLETE.json holds: who made it from what.

    `inputs`: bucket key → sha256 of each manifest that was read. `finished_at`: UTC, for people only.
    """

    schema_version: int = SCHEMA_VERSION
    run: str
    stage: str
    config_sha256: str
    image: str
    inputs: dict[str, str]
    finished_at: str
    warnings: tuple[str, ...] = ()


class PrepManifest(StageManifest):
    """Points at the data set that prep made or found."""

    dataset: str
    dataset_sha256: str


class PrecisionGate(Frozen):
    """Products in 8 bits that a training was `asked` for (the settings), and what its first `rows` said of them.

    `passed`: they were used; else `instead` was, the precision with which they were compared. `cosine`: of both
    gradients of the adapter, `loss_change`: of the loss, as a share; None where a number was not finite, or for
    `most_loss_change` where the loss does not count.
    """

    asked: str
    instead: str
    passed: bool
    rows: int
    cosine: float | None
    loss_change: float | None
    least_cosine: float
    most_loss_change: float | None

    @property
    def sentence(self) -> str:
        """What was used, and why."""
        rows = "row" if self.rows == 1 else f"{self.rows} rows"
        used = self.asked if self.passed else f"{self.instead} instead of {self.asked}"
        cosine = "is not finite" if self.cosine is None else f"is {self.cosine:.4f}"
        change = "not finite" if self.loss_change is None else f"{self.loss_change:.3%}"
        bound = "" if self.most_loss_change is None else f" ({self.most_loss_change:.1%} at most)"
        return (
            f"{used}: over the first {rows} the gradient's cosine with {self.instead} {cosine} "
            f"({self.least_cosine:g} at least), the change of the loss {change}{bound}"
        )


class TrainSummary(Measured):
    """What a training measured.

    Losses are mean negative log-likelihoods per supervised (answer) token, in nats. `resumed`: optimizer steps that a
    checkpoint brought along. `exactness`: `bitwise` when repeats give the same bytes on the same machine type, else
    `restarted` or `loss-close`. `gate`: of products in 8 bits, None where none were asked for.
    """

    steps: int
    rows: int
    tokens: int
    answer_tokens: int
    trainable_parameters: int
    train_loss: float
    eval_loss: float | None
    eval_split: str
    dropped_news: int
    padding_share: float
    peak_memory_bytes: int
    resumed: int
    exactness: str
    # Came later: a training that asked for nothing keeps the bytes that it always had.
    gate: PrecisionGate | None = Field(default=None, exclude_if=lambda gate: gate is None)


class TrainManifest(StageManifest, TrainSummary):
    """A trained LoRA adapter: `files` lie under the run's `train/` prefix (`adapter/…`, `metrics.jsonl`)."""

    base: str
    base_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    dataset: str
    files: tuple[FileRef, ...]


class RougeScores(Frozen):
    """F-measures of ROUGE-1, ROUGE-2 and ROUGE-L with stemming, mean over pairs, 0 to 1."""

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815 - the field's own name


class ParserScores(Frozen):
    """Scores under one parser.

    `n`: answers that were asked for; `parsed`: answers the parser read; `valid`: pairs in which both sides state a
    direction.
    `binary_accuracy` and `mse` are over valid pairs, None when there are none; `mse` is in squared percentage points
    between bin midpoints, and a direction without a size forecasts 0. `accuracy_all` counts a failure as wrong,
    `mse_all` as a forecast of 0.
    """

    n: int
    parsed: int
    valid: int
    failures: dict[str, int]
    binary_accuracy: float | None
    accuracy_all: float
    mse: float | None
    mse_all: float
    rouge: dict[str, RougeScores]


class VariantScores(Frozen):
    """Scores of one variant (`base` or `tuned`): loss in nats per answer token, speeds of generation alone.

    `n`: test rows; how many of them were answered in prose is `n` of the parsers' scores.
    `label_temperature` divides label log-likelihoods before they become probabilities; it is fitted on validation rows
    alone, None without any. `label_prior`: log-likelihoods of the twelve labels, in the order of
    `fingpt.prompts.examples.LABELS`, after a prompt without content. `label_shares`: of the labels among the training
    rows; `label_anchor_temperature` is fitted for probabilities anchored there (`fingpt.metrics.anchored`).
    `label_validation_loss`: log-loss of the labels of the validation rows, as `ValidationScores.label_log_loss`. None
    where labels were not scored, or there is no validation to fit on.
    """

    n: int
    loss: float
    train_loss: float | None
    samples_per_second: float
    tokens_per_second: float
    truncated: int
    seconds: dict[str, float]
    strict: ParserScores
    robust: ParserScores
    label_temperature: float | None = None
    label_prior: tuple[float, ...] | None = None
    label_shares: tuple[float, ...] | None = None
    label_anchor_temperature: float | None = None
    label_validation_loss: float | None = None


class ValidationScores(Frozen):
    """Scores of the tuned model on validation rows alone, as a sweep compares settings by.

    `loss` in nats per answer token. `label_log_loss`: of the twelve labels, nats per row, on top of the training
    labels' shares, each week with a temperature that was fitted on the other weeks
    (`fingpt.metrics.cross_fitted_log_loss`); `label_log_loss_as_scored`: with no temperature, prior or shares.
    """

    n: int
    weeks: int
    loss: float
    label_log_loss: float
    label_log_loss_as_scored: float
    seconds: dict[str, float]


class EngineChoice(Frozen):
    """What the answers of an evaluation are made with: an engine, its version, why it was taken.

    `answer_rows`: rows of a stored chunk of its answers. `scoring`: what losses and label probabilities are made with,
    transformers' layers or the fast ones of training, and `scoring_why`.
    """

    engine: Literal["transformers", "vllm"]
    version: str
    why: str
    answer_rows: int
    scoring: Literal["transformers", "fast"] = "transformers"
    scoring_why: str = ""

    @property
    def sentence(self) -> str:
        """What the manifest and the report say of it."""
        return f"{self.engine} {self.version} ({self.why})"

    @property
    def scoring_sentence(self) -> str:
        """What the manifest says of losses and label probabilities."""
        if self.scoring == "fast":
            return f"fast layers; attention: {self.scoring_why}"
        return f"transformers ({self.scoring_why})" if self.scoring_why else "transformers"


class EvalManifest(StageManifest):
    """Evaluation of one run on its test split; `files` lie under the run's `eval/` prefix.

    With `eval.split=validation` the test split was not opened: `split` says so, `validation` has the scores, and
    `scores` is empty.
    `before_cutoff`: test rows whose week may have been in the base's training data (`fingpt.models.Cutoff`), None where
    it was not counted.
    """

    dataset: str
    adapter_sha256: str
    base_sha256: str
    decoding: dict[str, str | int | float | bool]
    scores: dict[str, VariantScores]
    split: Literal["test", "validation"] = "test"
    validation: ValidationScores | None = None
    before_cutoff: int | None = None
    files: tuple[FileRef, ...]


class ReportManifest(Frozen):
    """A comparison under `reports/<id>/`: the runs it read, the manifests' hashes, the files it wrote."""

    schema_version: int = SCHEMA_VERSION
    id: str
    runs: tuple[str, ...]
    inputs: dict[str, str]
    files: tuple[FileRef, ...]


class Commit(Frozen):
    """One committed checkpoint, `commits/<n>.json`: hash-chained by `previous`, the sha256 of commit n−1.

    `context` holds the hashes that a resume must match: config, base, data set, template, world size.
    """

    schema_version: int = SCHEMA_VERSION
    n: int
    previous: str
    nonce: str
    step: int
    prefix: str
    context: dict[str, str]
    files: tuple[FileRef, ...]
