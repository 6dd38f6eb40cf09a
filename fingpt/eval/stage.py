"""The eval stage: base and tuned answers to every test row, their losses and scores, one table and one manifest.

It compares nothing: verdicts are the report's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from fingpt import hardware, log
from fingpt.eval.inputs import Inputs, read_inputs
from fingpt.record import FileRef
from fingpt.runs.manifest import EvalManifest, VariantScores
from fingpt.runs.run import Stage, stage_prefix
from fingpt.runs.stage import Context
from fingpt.storage import put

if TYPE_CHECKING:
    from fingpt.eval.model import Variant
    from fingpt.eval.scores_parquet import ScoredAnswer
    from fingpt.eval.variant import Evaluation

_LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "tokenizers",
    "evaluate",
    "rouge_score",
    "numpy",
)


def body(ctx: Context) -> EvalManifest:
    """Evaluate the run's adapter on its test split, and its base beside it unless `eval.include_base` is off.

    With `eval.split=validation` labels and loss of the validation rows are scored, and the test split stays closed.
    """
    inputs = read_inputs(ctx)
    if ctx.run.config.eval.split == "validation":
        return _on_validation(ctx, inputs)
    # What lacks is said before torch and evaluate load, which takes seconds.
    from fingpt.eval.arms import before_cutoff
    from fingpt.eval.scores_parquet import encode_scores
    from fingpt.eval.variant import Evaluation

    evaluation = Evaluation(ctx, inputs)
    variants: tuple[Variant, ...] = (
        ("base", "tuned") if ctx.run.config.eval.include_base else ("tuned",)
    )
    evaluation.measure_first(variants)
    rows: list[ScoredAnswer] = []
    scores: dict[str, VariantScores] = {}
    files: list[FileRef] = [evaluation.choice_file]
    for variant in variants:
        done = evaluation.variant(variant)
        rows += done.rows
        files += done.files
        scores[variant] = done.scores
        _log_scores(variant, done.scores)
    table = put(
        ctx.store, f"{stage_prefix(ctx.run.id, Stage.EVAL)}/scores.parquet", encode_scores(rows)
    )
    return EvalManifest(
        **cast("dict[str, Any]", ctx.identity()),
        seconds={
            "load": evaluation.load_seconds + evaluation.engine.start_seconds,
            **{
                phase: sum(one.seconds[phase] for one in scores.values())
                for phase in ("labels", "loss", "generate", "score")
            },
        },
        versions=hardware.versions(_LIBRARIES),
        hardware={
            **_hardware(),
            "engine": evaluation.choice.sentence,
            "scoring": evaluation.choice.scoring_sentence,
        },
        warnings=_warnings(inputs, evaluation, scores),
        dataset=inputs.dataset.id,
        adapter_sha256=inputs.adapter_sha256,
        base_sha256=inputs.base.sha256,
        decoding=evaluation.decoding_settings(),
        scores=scores,
        before_cutoff=before_cutoff(inputs.spec, [prompt.example for prompt in evaluation.test]),
        files=(table, *files),
    )


def _on_validation(ctx: Context, inputs: Inputs) -> EvalManifest:
    from fingpt.eval.validation import Validation

    start = time.perf_counter()
    evaluation = Validation(ctx, inputs)
    scores, files = evaluation.scores(time.perf_counter() - start)
    return EvalManifest(
        **cast("dict[str, Any]", ctx.identity()),
        seconds=scores.seconds,
        versions=hardware.versions(_LIBRARIES),
        hardware={**_hardware(), "scoring": evaluation.choice.scoring_sentence},
        warnings=("Scored on validation rows; the test split was not opened.",),
        dataset=inputs.dataset.id,
        adapter_sha256=inputs.adapter_sha256,
        base_sha256=inputs.base.sha256,
        decoding=evaluation.decoding_settings(),
        scores={},
        split="validation",
        validation=scores,
        files=files,
    )


def _hardware() -> dict[str, str]:
    """The machine, and the most GPU memory that was used."""
    found = hardware.hardware()
    import torch

    if torch.cuda.is_available():
        found["peak_memory_bytes"] = str(hardware.peak_memory_bytes())
    return found


def _log_scores(variant: str, scores: VariantScores) -> None:
    log.event(
        f"scored {variant}",
        loss=scores.loss,
        parsed=f"{scores.robust.parsed}/{scores.robust.n}",
        accuracy_all=scores.robust.accuracy_all,
        mse_all=scores.robust.mse_all,
        samples_per_second=scores.samples_per_second,
    )


def _warnings(
    inputs: Inputs, evaluation: Evaluation, scores: dict[str, VariantScores]
) -> tuple[str, ...]:
    found = []
    if inputs.adapter.foreign:
        found.append(
            "The adapter was trained elsewhere: its training rows may hold the test rows, and it may have been trained "
            "with another chat template than it was asked with."
        )
    if inputs.dataset.leaky:
        found.append(
            "The split is random: test labels can be read off training prompts, so no score here shows skill."
        )
    from fingpt.eval.arms import before_cutoff

    test = [prompt.example for prompt in evaluation.test]
    cutoff = inputs.spec.cutoff
    if cutoff and (known := before_cutoff(inputs.spec, test)):
        found.append(
            f"{known} of {len(test)} test weeks begin before {cutoff.clean_from}: {inputs.spec.title} may know what "
            f"happened ({cutoff.source}). Labels were also scored without names and dates, and from the bare question."
        )
    if len(evaluation.asked) < len(test):
        found.append(
            f"Answers in prose were asked for {len(evaluation.asked)} of {len(test)} test rows (eval.answer_rows); "
            "label probabilities and losses are of all."
        )
    if evaluation.dropped_news:
        found.append(
            f"{evaluation.dropped_news} news items were dropped to fit prompts into train.max_tokens."
        )
    for name, one in scores.items():
        if one.truncated:
            found.append(
                f"{one.truncated} of {one.robust.n} {name} answers were cut off at eval.max_new_tokens."
            )
    if evaluation.metrics.shortened:
        found.append(evaluation.metrics.shortened_sentence())
    return tuple(found)
