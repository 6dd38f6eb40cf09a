"""Which run may forecast."""

from __future__ import annotations

import pytest

from fingpt.config import EvalConfig, RunConfig
from fingpt.errors import ConfigError
from fingpt.forecast.ready import ready_run
from fingpt.runs.run import Run, run_key


def test_a_run_that_never_opened_the_test_has_no_evidence_to_forecast_with(store):
    run = Run.of(RunConfig(model="tiny-llama31", eval=EvalConfig(split="validation")), {})
    store.create(run_key(run.id), run.encode())
    with pytest.raises(ConfigError, match=r"validation rows alone.*opened the test"):
        ready_run(store, run.id)
