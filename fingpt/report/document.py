"""The report as one record: what report.json holds, and all that the pages and charts are drawn from."""

from __future__ import annotations

from pydantic import Field

from fingpt.record import Frozen
from fingpt.report.baselines import BaselineScore
from fingpt.report.chosen import Texts
from fingpt.report.guidance import Guidance
from fingpt.report.lines import Line
from fingpt.report.memory import CutoffMap, Memory
from fingpt.report.power import Power
from fingpt.report.reliability import Reliability
from fingpt.report.skill import Skill
from fingpt.report.validity import Check
from fingpt.report.verdict import Verdict
from fingpt.runs.manifest import Finding

SCHEMA_VERSION = 3
NOT_READ = "not read"
NO_CHANGE = "no change"
NO_SIZE = {1: "up without a size", -1: "down without a size"}
"""Forecasts that are in no bin: not read at all, flat, and a direction (+1, -1) that states no size."""


class ModelEntry(Frozen):
    """One model of the report, in the order of the command line; `runs`: one per training seed and origin."""

    runs: tuple[str, ...]
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
    """One point of a loss curve; `kind` is `training` or `held out`, `member` counts a model's runs from 0."""

    model: str
    kind: str
    member: int = 0
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


class Asked(Frozen):
    """What the report tested, as its configuration had it before the training.

    `primary`: key of the line that answers the primary question; `margin`: gaps below it count as none, in its unit.
    `primary_level`, `secondary_level`: with what probability the primary interval holds, and those of all `secondary`
    other comparisons together. `seeds`: training seeds per model. `block`: weeks that were drawn as one. `openings`:
    how many runs opened the test split so far; None where nobody counted.
    """

    primary: str
    title: str
    margin: float
    primary_level: float
    secondary_level: float
    secondary: int
    seeds: tuple[int, ...]
    block: int
    openings: int | None = None


class OriginLine(Frozen):
    """The primary metric over the test rows of one origin of a walk-forward, one value per model; no verdict."""

    origin: int
    n: int
    weeks: int
    values: tuple[float | None, ...]


class Report(Frozen):
    """The whole comparison; `id` is a hash of its content and of the page's templates.

    `rows`: the first model's test rows, asked for an answer in prose or not. `watermark`: what stands on the title and
    on every chart where a leak takes the figures' meaning; else empty.
    `mcnemar_p`: of the first two models' directions, rows taken as independent. `reliability`: by title, of models
    whose label probabilities were measured. `memory`: by title, of models that may know the test weeks.
    """

    schema_version: int = SCHEMA_VERSION
    id: str = ""
    watermark: str = ""
    title: str
    models: tuple[ModelEntry, ...]
    texts: Texts = Texts.ALL
    rows: int
    validity: tuple[Check, ...]
    asked: Asked
    warnings: tuple[str, ...]
    headline: tuple[Sentence, ...]
    power: Power
    mcnemar_p: float | None
    table: tuple[Line, ...]
    by_origin: tuple[OriginLine, ...] = ()
    baselines: tuple[BaselineScore, ...]
    skills: tuple[Skill, ...]
    base_against_tuned: tuple[BaseAgainstTuned, ...]
    parsers: tuple[ParserLine, ...]
    speeds: tuple[Speed, ...]
    curves: tuple[CurvePoint, ...]
    phases: tuple[Phase, ...]
    bins: tuple[BinCount, ...]
    reliability: dict[str, Reliability] = Field(default_factory=dict)
    memory: dict[str, Memory] = Field(default_factory=dict)
    cutoffs: CutoffMap
    rules_version: int
    guidance: tuple[Guidance, ...]
    findings: tuple[Finding, ...]
    provenance: tuple[ProvenanceLine, ...]
    method: tuple[str, ...]
    finished_at: str
    inputs: dict[str, str]
