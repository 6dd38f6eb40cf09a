"""Waiting for a run that was started before: in the cluster, and by the bucket's records alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fingpt import log
from fingpt.cluster import waiting
from fingpt.cluster.api.objects import Condition
from fingpt.cluster.waiting import wait_for_run
from fingpt.errors import (
    Interrupted,
    MissingInputError,
    SetupError,
    StageFailedError,
    TransientError,
)
from fingpt.record import canonical_json
from fingpt.runs.run import Stage, trial_key
from tests.cluster.fake_cluster import MISSING, FakeCluster, job_state
from tests.made_run import MadeRun

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path / "scratch")


def never(_: float) -> None:
    pytest.fail("there is nothing to wait for")


def test_a_complete_run_is_not_waited_for(made, store):
    wait_for_run(store, made.whole().id, None, never)


def test_a_run_of_this_machine_is_waited_for_until_it_is_complete(made, store):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=None)
    slept = []

    def finish(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            made.train()
            made.eval()

    wait_for_run(store, made.id, None, finish)
    assert slept == [waiting.POLL_SECONDS] * 2


def test_a_failed_stage_ends_the_waiting_with_its_code_and_message(made, store):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=70, message="The loss is not finite at step 3.")
    with pytest.raises(StageFailedError, match="exit code 70: The loss is not finite") as caught:
        wait_for_run(store, made.id, None, never)
    assert caught.value.exit_code == 70


def test_a_run_that_nobody_works_on_is_not_waited_for_for_ever(made, store):
    made.prep()
    slept = []
    with pytest.raises(MissingInputError, match=r"Nothing works on .* start it: make run MODEL="):
        wait_for_run(store, made.id, None, slept.append)
    assert sum(slept) <= waiting.NOTHING_SECONDS + waiting.POLL_SECONDS


def test_a_trial_is_waited_for_until_it_has_trained_and_never_sent_to_the_test(made, store):
    made.prep()
    store.create(trial_key(made.id), canonical_json({"sweep": "grid-1", "number": 7}))
    with pytest.raises(MissingInputError, match=r"train has not begun.*make status SWEEP=grid-1$"):
        wait_for_run(store, made.id, None, lambda _: None)
    made.train()
    wait_for_run(store, made.id, None, never)


def test_a_killed_attempt_is_named_with_the_command_that_goes_on(made, store):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=None, at=LONG_AGO)
    with pytest.raises(TransientError, match=r"attempt 1 of train left no ending.*make run"):
        wait_for_run(store, made.id, None, never)


def test_a_run_that_does_not_exist_is_one_sentence(store):
    with pytest.raises(MissingInputError, match="There is no run 'tiny-llama31-00000000'"):
        wait_for_run(store, "tiny-llama31-00000000", None, never)


def test_ctrl_c_ends_the_waiting_and_says_how_to_come_back(made, store):
    made.attempt(Stage.PREP, 1, code=None)

    def ctrl_c(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=f"goes on. Come back with make wait RUN={made.id}"):
        wait_for_run(store, made.id, None, ctrl_c)


def test_a_failed_job_of_the_cluster_ends_the_waiting_with_its_failure(made, store):
    cluster = FakeCluster()
    name = f"{made.id}-drive"
    failed = Condition("Failed", true=True, reason="DeadlineExceeded", message="too long")
    cluster.there[name] = job_state(name, failed)
    with pytest.raises(StageFailedError, match="longer than the site allows") as caught:
        wait_for_run(store, made.id, cluster, never)
    assert caught.value.exit_code == 75


def test_a_single_stage_s_job_that_is_complete_is_the_end_of_that_work(made, store, capsys):
    log.setup()
    made.prep()
    cluster = FakeCluster()
    name = f"{made.id}-prep"
    cluster.there[name] = job_state(name, Condition("Complete", true=True))
    wait_for_run(store, made.id, cluster, never)
    assert "the run has more stages" in capsys.readouterr().err


def test_without_any_job_the_bucket_is_asked(made, store):
    with pytest.raises(MissingInputError, match="Nothing works on"):
        wait_for_run(store, made.id, FakeCluster(), lambda _: None)


def test_in_a_namespace_that_is_not_there_nothing_is_waited_for(made, store):
    cluster = FakeCluster()
    cluster.namespace = MISSING
    with pytest.raises(SetupError, match=f"no namespace '{MISSING}'"):
        wait_for_run(store, made.id, cluster, never)
