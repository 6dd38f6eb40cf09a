"""How far an evaluation of validation rows is, from the label scores that it has stored."""

from __future__ import annotations

import pytest

from fingpt.runs import progress as module
from fingpt.runs.progress import progress
from fingpt.runs.run import LABEL_ROWS, Stage, labels_key
from tests.made_run import MadeRun


@pytest.mark.parametrize(("chunks", "done"), [(0, 0), (1, LABEL_ROWS), (2, 300)])
def test_rows_whose_labels_are_scored_count_and_answers_are_not_waited_for(
    store, tmp_path, monkeypatch, chunks, done
):
    run = MadeRun(store, tmp_path).run
    settings = run.config.eval.model_copy(update={"split": "validation"})
    run = run.model_copy(update={"config": run.config.model_copy(update={"eval": settings})})
    monkeypatch.setattr(module, "_rows", lambda _store, _run, split: {"validation": 300}[split])
    for number in range(chunks):
        store.create(labels_key(run.id, "tuned", "validation", number), b"scores")
    reached = progress(store, run, Stage.EVAL, None)
    assert (reached.done, reached.total) == (done, 300)
