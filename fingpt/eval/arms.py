"""Which prompts have their labels scored, and the scores in the store: made once, chunk by chunk, and read back.

An arm is a set of prompts: `test`; `validation`, on which the temperature is fitted; `prior`, one prompt without
content, whose scores say what the model prefers whatever it reads. Two more where a test week may have been in the
base's training data: `anonymous`, the test prompts without names and dates, and `recall`, the bare question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fingpt.eval.chunks import Chunk, chunk, context_of
from fingpt.eval.labels import LabelScores, LabelTree
from fingpt.eval.prompts import Prompt, batches
from fingpt.metrics import cross_fitted_log_loss, fit_temperature, log_loss, log_probabilities
from fingpt.models import ModelSpec
from fingpt.overrides import LEAST_VALIDATION_WEEKS
from fingpt.prompts.anonymous import anonymise, recall
from fingpt.prompts.chat import label_ids, render_prompt
from fingpt.prompts.examples import LABELS, Example
from fingpt.record import FileRef
from fingpt.runs.run import LABEL_ROWS, labels_key
from fingpt.storage import ObjectStore

Arm = Literal["test", "validation", "prior", "anonymous", "recall"]

Scorer = Callable[[Sequence[Prompt], LabelTree, bool], tuple[list[LabelScores], float]]
"""From prompts to a record for each, and the seconds that scoring them took; True: losses of answers are wanted too."""

CHUNK_ROWS = LABEL_ROWS
_NO_CONTENT = "N/A"  # the first of the three content-free inputs of Zhao et al. 2021


@dataclass(frozen=True)
class Labels:
    """Label scores of one variant: log-likelihoods by arm and example id, and what the store holds of them.

    `nll`: losses of answers that were measured with them, by example id. `seconds`: by arm.
    """

    nll: Mapping[str, float]
    logp: Mapping[Arm, Mapping[str, tuple[float, ...]]]
    seconds: Mapping[Arm, float]
    files: tuple[FileRef, ...]

    @property
    def prior(self) -> tuple[float, ...]:
        """Log-likelihoods of the labels after the prompt without content."""
        return next(iter(self.logp["prior"].values()))

    def temperature(self, validation: Sequence[Example]) -> float | None:
        """The temperature with the least log-loss on the validation rows; None without any."""
        found = self._arrays("validation", validation)
        return fit_temperature(*found) if found else None

    def anchor_temperature(
        self, validation: Sequence[Example], shares: Sequence[float]
    ) -> float | None:
        """The same for probabilities that are anchored at the training labels' shares (`metrics.anchored`)."""
        found = self._arrays("validation", validation)
        if found is None:
            return None
        return fit_temperature(found[0] - np.array(self.prior), found[1], np.array(shares))

    def cross_fitted(self, rows: Sequence[Example], shares: Sequence[float]) -> float | None:
        """Mean log-loss over the validation rows, anchored, each week with a temperature that the others fit best.

        It is what the primary question of a report is answered by, as far as one can say without the test. None for
        fewer than two weeks.
        """
        weeks = [week_of(row) for row in rows]
        found = self._arrays("validation", rows)
        if found is None or len(set(weeks)) < LEAST_VALIDATION_WEEKS:
            return None
        told = found[0] - np.array(self.prior)
        return float(cross_fitted_log_loss(told, found[1], weeks, np.array(shares)).mean())

    def of(self, arm: Arm, example: Example) -> tuple[float, ...] | None:
        """Log-likelihoods of one row, None where the arm was not measured."""
        return self.logp.get(arm, {}).get(example.id)

    def log_loss(self, rows: Sequence[Example], arm: Arm = "test") -> float:
        """Mean log-loss over the rows of an arm, in nats, as scored: no temperature, no prior."""
        found = self._arrays(arm, rows)
        return float(log_loss(log_probabilities(found[0]), found[1]).mean()) if found else 0.0

    def _arrays(self, arm: Arm, examples: Sequence[Example]) -> tuple[Any, Any] | None:
        if not examples:
            return None
        logp = np.array([self.logp[arm][example.id] for example in examples])
        return logp, np.array([LABELS.index(example.label) for example in examples], dtype=float)


@dataclass(frozen=True)
class Place:
    """Where the scores of a variant go, and hashes of all that they depend on besides the prompts."""

    store: ObjectStore
    run: str
    variant: str
    identity: tuple[str, ...]


@dataclass(frozen=True)
class Arms:
    """The prompts of each arm, the labels as a tree of tokens, and the arm whose answers' losses are wanted too."""

    tree: LabelTree
    prompts: Mapping[Arm, Sequence[Prompt]]
    answered: Arm

    @property
    def count(self) -> int:
        """Prompts of all arms."""
        return sum(len(prompts) for prompts in self.prompts.values())

    def score(self, measure: Scorer, place: Place, done: Callable[[int], None]) -> Labels:
        """The label scores of every arm, measured now or read from an earlier attempt."""
        logp: dict[Arm, dict[str, tuple[float, ...]]] = {}
        nll: dict[str, float] = {}
        seconds: dict[Arm, float] = {}
        files: list[FileRef] = []
        for arm, prompts in self.prompts.items():
            logp[arm], seconds[arm] = {}, 0.0
            for number, batch in enumerate(batches(prompts, CHUNK_ROWS, _length)):
                one = self._chunk(measure, place, (arm, number), batch)
                logp[arm] |= {record.example: record.logp for record in one.records}
                nll |= {each.example: each.nll for each in one.records if each.nll is not None}
                seconds[arm] += one.seconds
                files += one.files
                done(len(batch))
        return Labels(nll, logp, seconds, tuple(files))

    def _chunk(
        self, measure: Scorer, place: Place, name: tuple[Arm, int], batch: Sequence[Prompt]
    ) -> Chunk[LabelScores]:
        arm, number = name
        return chunk(
            LabelScores,
            place.store,
            labels_key(place.run, place.variant, arm, number),
            context_of(["labels", arm, *place.identity], batch),
            batch,
            lambda prompts: measure(prompts, self.tree, arm == self.answered),
        )


def label_tree(spec: ModelSpec, tokenizer: Any) -> LabelTree:
    """The twelve labels as this tokenizer spells them."""
    return LabelTree.of(*label_ids(spec, tokenizer))


def without_content(spec: ModelSpec, tokenizer: Any, system: str) -> Prompt:
    """The prompt of the arm `prior`: the system text of the rows, and nothing to judge."""
    example = Example(
        *(system, _NO_CONTENT), answer="", symbol="", period="", label="", prompt="", raw_answer=""
    )
    ids, _ = render_prompt(spec, tokenizer, example, 1 << 17)
    return Prompt(example, ids, ())


def by_heart(
    spec: ModelSpec, tokenizer: Any, test: Sequence[Prompt], max_tokens: int
) -> dict[Arm, Sequence[Prompt]]:
    """The arms that show what the base knows by heart; none where no test week can have been in its training data."""
    if not before_cutoff(spec, [prompt.example for prompt in test]):
        return {}

    def changed(prompt: Prompt, change: Callable[[Example], Example]) -> Prompt:
        room = max_tokens - len(prompt.answer_ids)
        ids, _ = render_prompt(spec, tokenizer, change(prompt.example), room)
        return Prompt(prompt.example, ids, ())

    return {
        "anonymous": [changed(prompt, anonymise) for prompt in test],
        "recall": [changed(prompt, recall) for prompt in test],
    }


def before_cutoff(spec: ModelSpec, test: Sequence[Example]) -> int:
    """Test rows whose week begins before the day from which the base cannot know what happened."""
    cutoff = spec.cutoff
    return sum(example.start < cutoff.clean_from for example in test) if cutoff else 0


def week_of(example: Example) -> str:
    """The calendar week (ISO 8601) in which a forecast is made: rows of several start days share it."""
    year, week, _ = example.start.isocalendar()
    return f"{year}-W{week:02d}"


def _length(prompt: Prompt) -> int:
    return len(prompt.prompt_ids)
