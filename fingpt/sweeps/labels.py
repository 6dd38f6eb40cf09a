"""The objective `labels`: what a trial's evaluation on validation rows says of its label probabilities."""

from __future__ import annotations

from fingpt.errors import ConfigError, MissingInputError
from fingpt.runs.manifest import EvalManifest
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage
from fingpt.runs.stage import finished
from fingpt.storage import ObjectStore


def labels_value(store: ObjectStore, run: Run) -> float:
    """Log-loss of the twelve labels on the validation rows, nats per row, lower is better.

    It is `ValidationScores.label_log_loss`: on top of the training labels' shares, as a report's primary question has
    it, each week with a temperature that was fitted on the other weeks. ConfigError where the run evaluates the test,
    which no search may look at; MissingInputError where its evaluation has not finished, StorageError where its
    manifest is damaged.
    """
    if run.config.eval.split != "validation":
        raise ConfigError(
            f"Run {run.id} evaluates the test split, and a search may not look at it; its trials are frozen with "
            "eval.split=validation."
        )
    manifest = finished(store, run, Stage.EVAL)
    if not isinstance(manifest, EvalManifest) or manifest.validation is None:
        raise MissingInputError(
            f"Run {run.id} has no finished evaluation of validation rows; finish it: "
            f"{stage_command(store.uri, 'run', run)}"
        )
    return manifest.validation.label_log_loss
