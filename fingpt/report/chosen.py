"""What a person asked a report to be about: which runs, which texts. Answers before any heavy library is imported.

Listing the store serves only to find runs when none are named. What the runs hold is read by `inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from fingpt.errors import ConfigError, MissingInputError, nearest
from fingpt.models import MODELS
from fingpt.runs.family import families, family
from fingpt.runs.manifest import EvalManifest, decode
from fingpt.runs.remedy import stage_command
from fingpt.runs.run import Run, Stage, complete_key
from fingpt.runs.stage import load_run
from fingpt.runs.state import require_run
from fingpt.storage import ObjectStore


class Texts(StrEnum):
    """Which texts the page of rows may show: `all`, all but the news in prompts, or none (forecasts alone)."""

    ALL = "all"
    WITHOUT_NEWS = "without-news"
    NONE = "none"


def chosen_texts(word: str) -> Texts:
    """Which texts a person asked for, `all` where nothing was said; ConfigError for another word."""
    word = word.strip()
    try:
        return Texts(word or Texts.ALL)
    except ValueError:
        raise ConfigError(
            f"TEXTS='{word[:40]}' is no choice of texts for rows.html; {nearest(word, Texts)}"
        ) from None


def finished_runs(store: ObjectStore, run_ids: Sequence[str]) -> list[Run]:
    """The named runs, in their order; whether their bytes are whole is seen when they are read.

    ConfigError when a run is named twice or has no training of its own, MissingInputError when one has not finished.
    """
    if len(set(run_ids)) != len(run_ids):
        raise ConfigError('A run is named twice; name different runs, such as RUNS="run-a run-b".')
    for run_id in run_ids:
        require_run(store, run_id)
    found = [load_run(store, run_id) for run_id in run_ids]
    for run in found:
        _require_finished(store, run)
    return found


def _require_finished(store: ObjectStore, run: Run) -> None:
    if Stage.TRAIN not in run.stages:
        raise ConfigError(
            f"Run {run.id} evaluated an adapter that was trained elsewhere, and a comparison needs the record of the "
            f"training; its scores alone: make collect RUN={run.id}."
        )
    if run.config.eval.split == "validation":
        raise ConfigError(
            f"Run {run.id} was evaluated on validation rows alone (eval.split=validation), as trials of a sweep are, "
            "and a comparison is of test rows; name runs that opened the test, such as the finals of the sweep, or see "
            "make sweep-report."
        )
    for stage in (Stage.TRAIN, Stage.EVAL):
        if not store.exists(complete_key(run.id, stage)):
            raise MissingInputError(
                f"Run {run.id} has not finished {stage}; finish it first: {stage_command(store.uri, 'run', run)}"
            )


def newest_runs(store: ObjectStore) -> list[str]:
    """The finished runs of the newest family of each model that shares a data set with the newest finished run.

    In the model table's order. MissingInputError when no run has finished eval.
    """
    suffix = complete_key("", Stage.EVAL).removeprefix("runs/")
    finished: dict[str, list[tuple[str, Run]]] = {}
    datasets: dict[str, set[str]] = {}
    for key in store.keys("runs/"):
        if not key.endswith(suffix):
            continue
        manifest = decode(EvalManifest, store.read(key), key)
        run = load_run(store, manifest.run)
        if Stage.TRAIN not in run.stages or manifest.split == "validation":
            continue  # `finished_runs` says why
        finished.setdefault(family(run), []).append((manifest.finished_at, run))
        datasets.setdefault(family(run), set()).add(manifest.dataset)
    if not finished:
        raise MissingInputError(
            f"No run in {store.uri} has finished eval; run one first: make run MODEL=tiny-llama31."
        )
    age = {name: max((when, run.id) for when, run in runs) for name, runs in finished.items()}
    shared = datasets[max(age, key=age.__getitem__)]
    newest: dict[str, str] = {}
    for name in sorted(age, key=age.__getitem__):
        if datasets[name] & shared:
            newest[finished[name][0][1].config.model] = name
    order = list(MODELS)
    return [
        run.id
        for model in sorted(newest, key=order.index)
        for run in families(run for _, run in finished[newest[model]])[newest[model]]
    ]
