"""Local chaining: a stage's exit code becomes the chain's."""

import pytest

from fingpt.config import RunConfig
from fingpt.errors import StageFailedError
from fingpt.runs.local import run_locally
from fingpt.runs.run import Run, Stage


def test_the_first_failing_stage_stops_the_chain_with_its_own_code(store, capfd):
    never_submitted = Run.of(RunConfig(model="llama31"), {})
    with pytest.raises(StageFailedError) as caught:
        run_locally(store, never_submitted, [Stage.PREP, Stage.EVAL])
    assert caught.value.exit_code == 66
    said = capfd.readouterr().err
    assert said.count('"level": "error"') == 1
