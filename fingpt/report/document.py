"""The report as one record: what report.json holds, and all that the pages and charts are drawn from."""

from __future__ import annotations

from fingpt.record import Frozen
from fingpt.report.baselines import BaselineScore, Skill
from fingpt.report.guidance import Guidance
from fingpt.report.lines import Line
from fingpt.report.verdict import Verdict
from fingpt.runs.manifest import Finding

SCHEMA_VERSION = 2
NOT_READ = "not read"
NO_CHANGE = "no change"
NO_SIZE = {1: "up without a size", -1: "down without a size"}
"""Forecasts that are in no bin: not read at all, flat, and a direction (+1, -1) that states no size."""


class ModelEntry(Frozen):
    """One model of the report, in the order of the command line; the first is what the others are compared with."""

    run: str
    key: str
    title: str
    base: str
    tiny: bool


class Sentence(Frozen):
    """The answer to one question: a verdict, and one sentence with its numbers."""

    question: str
    verdict: Verdict
    text: str


class ParserLine(Frozen):
    """How many answers one parser read, and the scores over what it read. `read_interval`: Wilson's."""

    model: str
    variant: str
    parser: str
    n: int
    parsed: int
    read_interval: tuple[float, float] | None
    valid: int
    accuracy: float | None
    accuracy_all: float
    mse: float | None
    mse_all: float
    failures: dict[str, int]


class CurvePoint(Frozen):
    """One point of a loss curve; `kind` is `training` or `held out`."""

    model: str
    kind: str
    step: int
    loss: float


class Phase(Frozen):
    """Seconds of one phase of one model; `stage` is train, eval or eval of the base."""

    model: str
    stage: str
    phase: str
    seconds: float


class BinCount(Frozen):
    """Rows with one forecast and one realised bin (label texts; the forecast may be one of the texts above)."""

    model: str
    forecast: str
    realised: str
    rows: int


class Speed(Frozen):
    """Generation speed of one variant of one model; one timing."""

    model: str
    variant: str
    samples_per_second: float
    tokens_per_second: float
    tokens_per_answer: float


class BaseAgainstTuned(Frozen):
    """One model's own gain: each line's first value is the untuned base, its second the tuned model."""

    model: str
    lines: tuple[Line, ...]


class ProvenanceLine(Frozen):
    """One fact of origin, one text per model."""

    what: str
    values: tuple[str, ...]


class Power(Frozen):
    """What these rows can show. `gap`: smallest detectable difference in accuracy as a share; None = none at all."""

    n: int
    weeks: int
    discordance: float
    design_effect: float
    gap: float | None
    mcnemar_p: float | None


class Report(Frozen):
    """The whole comparison; `id` is a hash of its content and of the page's templates."""

    schema_version: int = SCHEMA_VERSION
    id: str = ""
    title: str
    models: tuple[ModelEntry, ...]
    warnings: tuple[str, ...]
    headline: tuple[Sentence, ...]
    power: Power
    table: tuple[Line, ...]
    baselines: tuple[BaselineScore, ...]
    skills: tuple[Skill, ...]
    base_against_tuned: tuple[BaseAgainstTuned, ...]
    parsers: tuple[ParserLine, ...]
    speeds: tuple[Speed, ...]
    curves: tuple[CurvePoint, ...]
    phases: tuple[Phase, ...]
    bins: tuple[BinCount, ...]
    rules_version: int
    guidance: tuple[Guidance, ...]
    findings: tuple[Finding, ...]
    provenance: tuple[ProvenanceLine, ...]
    method: tuple[str, ...]
    finished_at: str
    inputs: dict[str, str]
