"""Scores of the tuned model on validation rows alone (`eval.split=validation`): labels and loss, no answer, no test.

That is all a sweep needs to compare settings by their label probabilities. Nothing here can read the test split, and
`eval.engine` plays no part.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import metadata

from fingpt import log
from fingpt.errors import DataError
from fingpt.eval.arms import Arms, Labels, Place, label_tree, week_of, without_content
from fingpt.eval.chunks import Chunk, chunk, context_of
from fingpt.eval.inputs import Inputs, read_split, read_validation
from fingpt.eval.labels import LabelScores, LabelTree
from fingpt.eval.loaded import Loaded, answer_tokens
from fingpt.eval.model import translate_out_of_memory
from fingpt.eval.prompts import Prompt, refuse_duplicates
from fingpt.metrics import label_shares, mean
from fingpt.overrides import LEAST_VALIDATION_WEEKS
from fingpt.prompts.examples import LABELS
from fingpt.record import FileRef, Frozen
from fingpt.runs.manifest import EngineChoice, ValidationScores
from fingpt.runs.run import Stage, stage_prefix
from fingpt.runs.stage import Context


class RowLoss(Frozen):
    """Sum of the negative log-likelihoods of one example's answer tokens, in nats."""

    example: str
    nll: float


class Validation(Loaded):
    """The loaded model and the validation rows of one evaluation."""

    def __init__(self, ctx: Context, inputs: Inputs) -> None:
        super().__init__(ctx, inputs)
        rows = read_validation(ctx, inputs.dataset)
        self.weeks = [week_of(row) for row in rows]
        if len(set(self.weeks)) < LEAST_VALIDATION_WEEKS:
            raise DataError(
                f"Data set {inputs.dataset.id} has {len(set(self.weeks))} validation week(s), and "
                f"eval.split=validation needs {LEAST_VALIDATION_WEEKS}: set "
                "prep.validation_weeks higher, and bring rows of more weeks."
            )
        self.rows = self.prompts(rows)
        refuse_duplicates(self.rows, "validation")
        train = read_split(ctx, inputs.dataset, "train")
        shares = label_shares((example.label for example in train), LABELS)
        self.shares: tuple[float, ...] = tuple(shares.tolist())
        self.arms = Arms(
            label_tree(inputs.spec, self.tokenizer),
            {
                "validation": self.rows,
                "prior": [without_content(inputs.spec, self.tokenizer, rows[0].system)],
            },
            answered="validation",
        )
        self.settle(
            lambda: EngineChoice(
                engine="transformers",
                version=metadata.version("transformers"),
                why="nothing is answered",
                answer_rows=self.settings.batch_size,
            )
        )
        if self.model is None:
            self.load_model()

    def scores(self, load_seconds: float) -> tuple[ValidationScores, tuple[FileRef, ...]]:
        """The scores, and the stored files they rest on; `load_seconds` is copied into their seconds by phase."""

        def score(
            prompts: Sequence[Prompt], tree: LabelTree, answers: bool
        ) -> tuple[list[LabelScores], float]:
            start = time.perf_counter()
            found = self.scoring.labels("tuned", prompts, tree, lambda _: None, answers=answers)
            return found, time.perf_counter() - start

        with translate_out_of_memory(self.settings.batch_size):
            identity = tuple(self.identity("tuned"))
            place = Place(self.ctx.store, self.ctx.run.id, "tuned", identity)
            with log.progress("labels of validation rows", self.arms.count) as meter:
                labels = self.arms.score(score, place, meter.advance)
            loss = self._losses(identity, labels)
        examples = [prompt.example for prompt in self.rows]
        label_log_loss = labels.cross_fitted(examples, self.shares)
        assert label_log_loss is not None  # there are weeks enough
        found = ValidationScores(
            n=len(self.rows),
            weeks=len(set(self.weeks)),
            loss=mean(sum(row.nll for row in loss.records), answer_tokens(self.rows)),
            label_log_loss=label_log_loss,
            label_log_loss_as_scored=labels.log_loss(examples, "validation"),
            seconds={
                "load": load_seconds,
                "labels": sum(labels.seconds.values()),
                "loss": loss.seconds,
            },
        )
        log.event("scored validation rows", label_log_loss=found.label_log_loss, loss=found.loss)
        return found, (self.choice_file, *labels.files, *loss.files)

    def _losses(self, identity: Sequence[str], labels: Labels) -> Chunk[RowLoss]:
        """Losses of all validation rows, measured now or with `labels`, or read from an earlier attempt."""

        def measure(prompts: Sequence[Prompt]) -> tuple[list[RowLoss], float]:
            start = time.perf_counter()
            left = [prompt for prompt in prompts if prompt.example.id not in labels.nll]
            with log.progress("loss of validation rows", len(left)) as meter:
                found = {**labels.nll, **self.scoring.losses("tuned", left, meter.advance)}
            rows = [RowLoss(example=example, nll=nll) for example, nll in sorted(found.items())]
            return rows, time.perf_counter() - start

        return chunk(
            RowLoss,
            self.ctx.store,
            f"{stage_prefix(self.ctx.run.id, Stage.EVAL)}/losses/tuned-validation.jsonl",
            context_of(["loss", *identity], self.rows),
            self.rows,
            measure,
        )
