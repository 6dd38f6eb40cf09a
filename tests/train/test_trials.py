"""A trial of a sweep, from its ask to its validation loss, on a store that refuses the test rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fingpt.runs.freeze import create_run
from fingpt.runs.run import Run, Stage, complete_key
from fingpt.sweeps.finals import leader
from fingpt.sweeps.pod import begin_trial
from fingpt.sweeps.sweep import Sweep
from fingpt.train.session import Session
from fingpt.train.stage import prepare
from tests.sweeps.studies import MODEL, defined

pytestmark = pytest.mark.usefixtures("torch_as_before")


class WithoutTest:
    """A store that refuses whatever has to do with test rows, and notes what it was asked for."""

    def __init__(self, store: Any) -> None:
        self._store, self.uri, self.asked = store, store.uri, []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def refusing(*words: Any, **named: Any) -> Any:
            key = next(str(each) for each in words if "/" in str(each) and "tmp" not in str(each))
            assert not key.endswith("/test.jsonl"), f"{name} of {key}"
            assert not key.startswith("openings/"), f"{name} of {key}"
            self.asked.append(key)
            return method(*words, **named)

        return refusing


def test_a_trial_never_reads_the_test_rows(world):
    base = world.run(max_steps=2)  # its data set has test rows, whose bytes are nowhere
    sweep = Sweep.of("grid", defined(), {MODEL: base.config}, {})
    first = leader(sweep, MODEL)
    create_run(world.store, first)
    made = world.store.read(complete_key(base.id, Stage.PREP)).decode()
    world.store.create(complete_key(first.id, Stage.PREP), _of(first, base, made))

    store = WithoutTest(world.store)
    run = begin_trial(store, sweep, MODEL, 1)
    assert isinstance(run, Run)
    context = replace(world.context(run), store=store)
    task = prepare(context)
    assert "datasets/invented/validation.jsonl" in store.asked
    summary = Session(task, 0, lambda: False).run()
    assert summary.eval_split == "validation"
    assert summary.eval_loss is not None
    assert not list(world.store.keys("openings/"))


def _of(run: Run, other: Run, manifest: str) -> bytes:
    """The prep manifest of `other` in the name of `run`."""
    from fingpt.runs.manifest import PrepManifest, decode, encode

    plain = decode(PrepManifest, manifest.encode(), "key")
    names = {"run": run.id, "config_sha256": run.config.sha256}
    assert plain.run == other.id
    return encode(plain.model_copy(update=names))
