"""The report on sweeps as one record: what the page's sweep.json holds, and all that its charts are drawn from."""

from __future__ import annotations

from typing import Literal

from fingpt.record import Frozen
from fingpt.sweeps.definition import Settings, SweepDefinition
from fingpt.sweeps.report.lead import Lead, Word

SCHEMA_VERSION = 1

State = Literal["complete", "pruned", "failed", "under way"]
STATES: tuple[State, ...] = ("complete", "pruned", "failed", "under way")


class TrialLine(Frozen):
    """One trial. `place`: where it lies on each parameter, in words, in the order of the space.

    `value` in nats: at the end of a complete trial; of a pruned one what it had reached at `rung`. `started` and
    `ended`: hours after the first trial of the report began, None where not recorded. `seconds` of training,
    `gpu_seconds` the same times the GPUs it held.
    """

    number: int
    run: str
    state: State
    settings: Settings
    place: tuple[str, ...]
    value: float | None = None
    rung: int | None = None
    reason: str = ""
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    started: float | None = None
    ended: float | None = None


class FinalLine(Frozen):
    """One run after the search: a setting trained with one more seed. `value` on validation rows, nats.

    `test_loss` (nats per answer token), `test_accuracy` (share of right directions; an answer that cannot be read is
    wrong) and `test_read` (share of answers that can be read) of its `test_answers` answers.
    `reason`: why it has no value.
    """

    run: str
    setting: Literal["chosen", "default"]
    seed: int
    value: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_read: float | None = None
    test_answers: int | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    reason: str = ""


class Importance(Frozen):
    """Share of a parameter in whether a trial is among the best (PED-ANOVA); all of a study sum to 1."""

    parameter: str
    share: float


class Chosen(Frozen):
    """The chosen setting, and what its own trial said."""

    trial: int
    settings: Settings
    value: float


class StudyReport(Frozen):
    """What the search of one model found.

    `sentence` is the answer; `lead` what it rests on. `spread`: nats between the best and the fifth-best complete
    trial. `without_importance`: why there is no importance. `use`: the command that trains with the chosen setting,
    `command`: the one that compares the finals on test rows; empty where it is too early. `spent`: by how trials ended,
    and on `finals`, in the report's unit. `openings`: how many runs opened the test rows of `dataset`.
    """

    model: str
    title: str
    sweep: str
    definition: SweepDefinition
    word: Word
    sentence: str
    told: tuple[str, ...]
    planned: int
    counts: dict[State, int]
    parameters: tuple[str, ...]
    default_settings: Settings
    trials: tuple[TrialLine, ...]
    best: tuple[int, ...]
    spread: float | None
    chosen: Chosen | None
    finals: tuple[FinalLine, ...]
    finals_planned: int
    lead: Lead | None
    importance: tuple[Importance, ...]
    without_importance: str
    reasons: dict[str, int]
    spent: dict[str, float]
    dataset: str
    openings: int | None
    use: str
    command: str


class SweepReport(Frozen):
    """The page. `running`: some sweep is not over, nothing is final. `unit`: of what was spent.

    `skipped`: charts that there is nothing to draw for, each with its reason. `inputs`: bucket key → sha256 of every
    record that was read. `as_of`: UTC time of the last event that the records tell of, for people only.
    """

    schema_version: int = SCHEMA_VERSION
    id: str = ""
    title: str
    running: bool
    objective: str
    unit: str
    studies: tuple[StudyReport, ...]
    effort: str
    notes: tuple[str, ...]
    skipped: tuple[str, ...]
    method: tuple[str, ...]
    as_of: str
    inputs: dict[str, str]
