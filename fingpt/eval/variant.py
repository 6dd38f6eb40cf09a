"""One loaded evaluation: labels, loss, answers and scores of each variant; what the store has is not made again.

Label scores, loss and answers are stored create-only as they are made and read back; everything after them is computed
from the stored bytes, so that an interrupted evaluation ends with the same table as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from fingpt import log
from fingpt.eval.arms import (
    Arms,
    Labels,
    Place,
    by_heart,
    label_tree,
    without_content,
)
from fingpt.eval.caches import compiled_cache
from fingpt.eval.chunks import Chunk, Losses, chunk, context_of, losses
from fingpt.eval.engine import choose
from fingpt.eval.engine_transformers import TransformersEngine
from fingpt.eval.engine_vllm import ANSWER_ROWS, VllmEngine, VllmSettings
from fingpt.eval.generate import Answer, Decoding
from fingpt.eval.inputs import Inputs, fetch_adapter, read_split, read_validation
from fingpt.eval.labels import LabelScores, LabelTree
from fingpt.eval.loaded import Loaded, answer_tokens
from fingpt.eval.metric_modules import MetricModules
from fingpt.eval.model import Variant, translate_out_of_memory
from fingpt.eval.prompts import Prompt, batches, evenly_spaced, refuse_duplicates, to_answer
from fingpt.eval.score import Pair, score_robust, score_strict, summarise
from fingpt.eval.scores_parquet import Prose, ScoredAnswer
from fingpt.eval.scoring import Scoring
from fingpt.eval.text import PromptNumbers, text_facts
from fingpt.metrics import label_shares, mean
from fingpt.prompts.chat import stop_ids
from fingpt.prompts.examples import LABELS
from fingpt.prompts.news import stated_moves
from fingpt.record import FileRef
from fingpt.runs import openings
from fingpt.runs.manifest import ParserScores, VariantScores
from fingpt.runs.run import Stage, predictions_key, stage_prefix
from fingpt.runs.stage import Context

TRAIN_LOSS_ROWS = 64
"""Train rows that the train loss is measured on, evenly spread over the split: enough to see overfitting."""


@dataclass(frozen=True)
class Evaluated:
    """One variant: its rows for the table, its scores, and the files that hold its answers and losses."""

    rows: list[ScoredAnswer]
    scores: VariantScores
    files: tuple[FileRef, ...]


@dataclass(frozen=True)
class Made:
    """What was measured of one variant, as the store has it."""

    labels: Labels
    loss: Losses
    chunks: list[Chunk[Answer]]


class Evaluation(Loaded):
    """The loaded model, tokenizer and prompts of one evaluation.

    The test split is opened once all that can be known without it is: base and adapter are loaded then, no test row is
    read.
    """

    def __init__(self, ctx: Context, inputs: Inputs) -> None:
        start = time.perf_counter()
        super().__init__(ctx, inputs)
        train = read_split(ctx, inputs.dataset, "train")
        self.train = self.prompts(
            [train[index] for index in evenly_spaced(len(train), TRAIN_LOSS_ROWS)]
        )
        shares = label_shares((example.label for example in train), LABELS)
        self.shares: tuple[float, ...] = tuple(shares.tolist())
        validation = read_validation(ctx, inputs.dataset)
        self.validation = self.prompts(validation)
        tree = label_tree(inputs.spec, self.tokenizer)
        self.decoding = Decoding(
            stop_ids=stop_ids(inputs.spec, self.tokenizer),
            max_new_tokens=self.settings.max_new_tokens,
        )
        self.metrics = MetricModules(ctx.scratch / "evaluate")
        # A choice that is stored was made by an attempt that had loaded this base and this adapter.
        self.settle(lambda: choose(self.settings, self.precision, ANSWER_ROWS))
        if self.choice.engine == "transformers" and self.model is None:
            self.load_model()
        openings.record(ctx.store, inputs.dataset.id, ctx.run)
        self.test = self.prompts(read_split(ctx, inputs.dataset, "test"))
        refuse_duplicates(self.test)
        self.asked = to_answer(self.test, self.settings.answer_rows)
        # What a week did is printed in the prompts of later weeks.
        self.moves: dict[tuple[str, str], float] = {}
        for example in (*train, *validation, *(prompt.example for prompt in self.test)):
            self.moves |= stated_moves(example.user)
        system = self.test[0].example.system
        self.arms = Arms(
            tree,
            {
                "test": self.test,
                "validation": self.validation,
                "prior": [without_content(inputs.spec, self.tokenizer, system)],
                **by_heart(inputs.spec, self.tokenizer, self.test, ctx.run.config.train.max_tokens),
            },
            answered="test",
        )
        self.engine = self._vllm() if self.choice.engine == "vllm" else self._transformers()
        self.load_seconds = time.perf_counter() - start

    def decoding_settings(self) -> dict[str, str | int | float | bool]:
        """Decoding settings, for the manifest and for the identity of chunks."""
        return {
            "method": "greedy",
            **super().decoding_settings(),
            **self.engine.settings(),
            "max_new_tokens": self.settings.max_new_tokens,
            "stop_ids": ",".join(map(str, self.decoding.stop_ids)),
        }

    def measure_first(self, variants: Sequence[Variant]) -> None:
        """Have labels and losses in the store before vLLM starts, which needs the memory of the model that made them.

        With transformers there is one model, and all is measured in its turn.
        """
        if isinstance(self.engine, TransformersEngine):
            return
        with translate_out_of_memory(self.settings.batch_size):
            for variant in variants:
                self._losses(variant, self._labels(variant))
        if self.model is not None:
            self.release_model()

    def _loaded(self) -> Scoring:
        """What scores; an attempt that goes on loads it for what the store lacks alone."""
        if self.model is None:
            start = time.perf_counter()
            self.load_model()
            self.load_seconds += time.perf_counter() - start
        return self.scoring

    def _transformers(self) -> TransformersEngine:
        return TransformersEngine(self.model, self.tokenizer, self.decoding)

    def _vllm(self) -> VllmEngine:
        longest = max(len(prompt.prompt_ids) for prompt in self.asked)
        started = VllmSettings(
            base=self.folder,
            adapter=fetch_adapter(self.ctx, self.inputs),
            lora=self.ctx.run.config.train.lora,
            precision=self.precision,
            longest=longest + self.decoding.max_new_tokens,
            cache=compiled_cache(self.ctx.environment.cache, self.ctx.scratch),
        )
        return VllmEngine(started, self.tokenizer, self.decoding)

    def variant(self, variant: Variant) -> Evaluated:
        """Loss, answers and scores of one variant."""
        with translate_out_of_memory(self.settings.batch_size):
            labels = self._labels(variant)
            loss = self._losses(variant, labels)
            chunks = self._answers(variant)
        start = time.perf_counter()
        rows, strict, robust = self._score(variant, Made(labels, loss, chunks))
        score_seconds = time.perf_counter() - start
        seconds = sum(one.seconds for one in chunks)
        answers = [answer for one in chunks for answer in one.records]
        scores = VariantScores(
            n=len(rows),
            loss=mean(sum(loss.test.values()), answer_tokens(self.test)),
            train_loss=mean(sum(loss.train.values()), answer_tokens(self.train)),
            samples_per_second=len(answers) / seconds,
            tokens_per_second=sum(answer.new_tokens for answer in answers) / seconds,
            truncated=sum(answer.truncated for answer in answers),
            # A resumed run did part of this earlier: the stored clocks count, not this process's.
            seconds={
                "load": self.load_seconds + self.engine.start_seconds,
                "labels": sum(labels.seconds.values()),
                "loss": loss.seconds,
                "generate": seconds,
                "score": score_seconds,
            },
            strict=strict,
            robust=robust,
            label_temperature=labels.temperature([one.example for one in self.validation]),
            label_prior=labels.prior,
            label_shares=self.shares,
            label_anchor_temperature=labels.anchor_temperature(
                [one.example for one in self.validation], self.shares
            ),
            label_validation_loss=labels.cross_fitted(
                [one.example for one in self.validation], self.shares
            ),
        )
        log.event(
            f"labels {variant}",
            log_loss=labels.log_loss([one.example for one in self.test]),
            temperature=scores.label_temperature,
        )
        files = labels.files + loss.files + tuple(file for one in chunks for file in one.files)
        return Evaluated(rows, scores, files)

    def _labels(self, variant: Variant) -> Labels:
        """Label scores of every arm, measured now or read from an earlier attempt."""
        place = Place(self.ctx.store, self.ctx.run.id, variant, tuple(self.identity(variant)))

        def score(
            prompts: Sequence[Prompt], tree: LabelTree, answers: bool
        ) -> tuple[list[LabelScores], float]:
            scoring = self._loaded()
            start = time.perf_counter()
            found = scoring.labels(variant, prompts, tree, lambda _: None, answers=answers)
            return found, time.perf_counter() - start

        with log.progress(f"labels {variant}", self.arms.count) as meter:
            return self.arms.score(score, place, meter.advance)

    def _losses(self, variant: Variant, labels: Labels) -> Losses:
        """Losses on test and train rows, measured now or with `labels`, or read from an earlier attempt."""

        def measure() -> tuple[dict[str, float], dict[str, float]]:
            left = [prompt for prompt in self.test if prompt.example.id not in labels.nll]
            with log.progress(f"loss {variant}", len(left) + len(self.train)) as meter:
                test = {**labels.nll, **self.scoring.losses(variant, left, meter.advance)}
                return test, self.scoring.losses(variant, self.train, meter.advance)

        key = f"{stage_prefix(self.ctx.run.id, Stage.EVAL)}/losses/{variant}.json"
        if not self.ctx.store.exists(key):
            self._loaded()  # before the clock of the losses starts
        return losses(
            self.ctx.store,
            key,
            context_of(self.identity(variant), [*self.test, *self.train]),
            measure,
        )

    def _answers(self, variant: Variant) -> list[Chunk[Answer]]:
        """Every chunk of answers, generated now or read from an earlier attempt."""
        chunks = []
        plan = batches(self.asked, self.choice.answer_rows, lambda prompt: len(prompt.prompt_ids))
        with log.progress(f"answers {variant}", len(self.asked)) as meter:
            for number, batch in enumerate(plan):
                one = chunk(
                    Answer,
                    self.ctx.store,
                    predictions_key(self.ctx.run.id, variant, number),
                    context_of(self.identity(variant), batch),
                    batch,
                    partial(self.engine.answers, variant),
                )
                tokens = sum(answer.new_tokens for answer in one.records)
                note: dict[str, object] = {"tokens_per_second": round(tokens / one.seconds, 1)}
                meter.advance(len(batch), **({"reused": True} if one.reused else note))
                chunks.append(one)
        return chunks

    def _score(
        self, variant: Variant, made: Made
    ) -> tuple[list[ScoredAnswer], ParserScores, ParserScores]:
        """Rows in the order of the test split, and the scores under `strict` and `robust`."""
        answers: dict[str, tuple[Answer, float]] = {
            answer.example: (answer, one.seconds / len(one.records))
            for one in made.chunks
            for answer in one.records
        }
        examples = [prompt.example for prompt in self.asked]
        pairs = [
            Pair(answers[example.id][0].prediction, example.raw_answer, example.label)
            for example in examples
        ]
        strict = score_strict(pairs=pairs, metrics=self.metrics)
        robust = score_robust(pairs=pairs, metrics=self.metrics)
        prose = {
            example.id: Prose(
                *answers[example.id],
                strict=strict_pair,
                robust=robust_pair,
                text=text_facts(answers[example.id][0].prediction, PromptNumbers(example.user)),
            )
            for example, strict_pair, robust_pair in zip(examples, strict, robust, strict=True)
        }
        rows = [
            ScoredAnswer(
                variant=variant,
                prompt=prompt,
                nll=made.loss.test[prompt.example.id],
                prose=prose.get(prompt.example.id),
                realised=self.moves.get((prompt.example.symbol, prompt.example.period)),
                label_logp=made.labels.of("test", prompt.example),
                anonymous_logp=made.labels.of("anonymous", prompt.example),
                recall_logp=made.labels.of("recall", prompt.example),
            )
            for prompt in self.test
        ]
        return (
            rows,
            summarise(pairs=strict, metrics=self.metrics),
            summarise(pairs=robust, metrics=self.metrics),
        )
