"""Status puts bucket and cluster together, and neither alone is taken for the other."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from fingpt.cluster.api.objects import JobState, PodState
from fingpt.cluster.diagnosis.snapshot import JobSnapshot, State
from fingpt.cluster.status import render, status
from fingpt.errors import PermissionDeniedError
from fingpt.runs.run import Stage
from fingpt.runs.state import read_run
from tests.cluster.fake_cluster import MISSING, FakeCluster
from tests.made_run import MadeRun

NOW = datetime.now(UTC)


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


class Showing(FakeCluster):
    """A cluster that shows one Job."""

    def __init__(self, **jobs: dict) -> None:
        super().__init__()
        self.shown, self.asked = jobs, []

    def stage_snapshot(self, run_id, stage, *, complete):
        self.asked.append(stage)
        given = self.shown.get(stage)
        if given is None:
            return JobSnapshot(complete=complete, now=NOW)
        job = JobState.of(
            {"metadata": {"name": f"{run_id}-{stage}"}, "status": given.get("job", {})}
        )
        pods = tuple(PodState.of(each) for each in given.get("pods", ()))
        return JobSnapshot(job=job, pods=pods, complete=complete, now=NOW)


def running(node="gpu-1") -> dict:
    state = {"running": {}}
    return {
        "metadata": {"name": "x-train-1"},
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "containerStatuses": [{"state": state}]},
    }


def screen(found) -> str:
    out = io.StringIO()
    Console(file=out, width=160, soft_wrap=True).print(render(found))
    return out.getvalue()


def seen(made, *arguments):
    return status(read_run(made.store, made.id), made.store.uri, NOW, *arguments)


def test_a_running_stage_shows_step_loss_time_left_commit_and_node(made):
    made.prep()
    made.commit(4)
    made.commit(8)
    made.attempt(Stage.TRAIN, 1, code=75, message="the store was away")
    made.attempt(Stage.TRAIN, 2, code=None, at=NOW)
    text = screen(seen(made, Showing(train={"pods": [running()]}), "namespace x"))
    for words in ("8 of 12", "1.9200", "≥ 2 s", "2 (step 8)", "gpu-1", "running", "namespace x"):
        assert words in text, words
    assert "attempt 1: interrupted" in text
    assert "the store was away" in text


@pytest.mark.parametrize(
    ("attempt", "state", "words"),
    [
        ({"code": None, "at": NOW}, State.RUNNING, "works"),
        ({"code": None, "at": NOW - timedelta(hours=3)}, State.RETRYABLE, "3.0 h ago"),
        ({"code": 143}, State.RETRYABLE, "SIGTERM"),
        ({"code": 76}, State.FENCED, "another attempt"),
        ({"code": 70, "message": "NaN at step 3"}, State.PERMANENT, "diverged"),
    ],
)
def test_without_a_cluster_the_bucket_says_how_it_stands(made, attempt, state, words):
    made.prep()
    made.attempt(Stage.TRAIN, 1, **attempt)
    why = seen(made).current.why
    assert why.state is state
    assert words in why.summary
    assert why.message == attempt.get("message", "")


def test_a_finished_run_asks_the_cluster_for_nothing(made):
    cluster = Showing()
    assert seen(made.whole(), cluster).current.why.state is State.COMPLETE
    assert cluster.asked == []


def test_a_job_that_is_complete_without_complete_is_a_silent_failure_on_the_screen(made):
    made.prep()
    complete = {"conditions": [{"type": "Complete", "status": "True"}]}
    found = seen(made, Showing(train={"job": complete}))
    assert found.current.why.state is State.SILENT
    assert f"make logs RUN={made.id}" in screen(found)


def test_a_run_of_this_machine_is_seen_although_the_cluster_has_no_job(made):
    made.attempt(Stage.PREP, 1, code=None, at=NOW)
    assert seen(made, Showing()).current.why.state is State.RUNNING


def test_a_drive_job_that_does_not_start_is_shown(made):
    found = seen(made, Showing(drive={"job": {"failed": 0}}))
    assert found.stages[-1].stage == "drive"
    assert found.stages[-1].why.state is State.WAITING


def test_only_the_current_stage_and_drive_are_asked_for(made):
    made.prep()
    cluster = Showing()
    seen(made, cluster)
    assert cluster.asked == ["train", "drive"]


def test_json_holds_what_the_screen_says(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=70, message="NaN")
    data = json.loads(json.dumps(seen(made).as_json()))
    assert (data["run"], data["stage"], data["state"]) == (made.id, "train", "failed-permanent")
    assert data["stages"][1]["why"]["message"] == "NaN"


def test_markup_in_messages_is_shown_and_not_obeyed(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=70, message="[red]no[/red] \x1b[2J", node="[b]n[/b]")
    text = screen(seen(made))
    assert "[red]no[/red] \\x1b[2J" in text
    assert "[b]n[/b]" in text
    assert "\x1b" not in text


PENDING = {
    "metadata": {"name": "x-drive-1"},
    "status": {
        "phase": "Pending",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: 1 Insufficient cpu."}
        ],
    },
}


def test_before_a_stage_has_a_job_it_has_the_state_of_drive(made):
    found = seen(made, Showing(drive={"pods": [running()]}))
    assert (found.current.stage, found.current.why.state) == ("prep", State.WAITING)
    assert "drive runs and creates its Job next" in found.current.why.summary
    found = seen(made, Showing(drive={"pods": [PENDING]}))
    assert (found.current.stage, found.current.why.state) == ("prep", State.BLOCKED)
    assert "Insufficient cpu" in found.current.why.message
    assert "submit it again" not in found.current.why.action
    # Drive itself is shown as well.
    assert found.stages[-1].why.state is State.BLOCKED


def test_while_drive_waits_for_base_weights_the_run_has_their_job_s_state(made):
    cluster = Showing(drive={"pods": [running()]}, mirror={"pods": [PENDING]})
    found = seen(made, cluster)
    assert (found.current.stage, found.current.why.state) == ("prep", State.BLOCKED)
    assert found.current.why.summary.startswith("base weights come first")
    ended = {"conditions": [{"type": "Complete", "status": "True"}]}
    found = seen(made, Showing(drive={"pods": [running()]}, mirror={"job": ended}))
    assert "creates its Job next" in found.current.why.summary


def test_between_two_stages_the_next_one_waits_for_drive(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=143, message="SIGTERM honoured")
    found = seen(made, Showing(drive={"pods": [running()]}))
    assert (found.current.stage, found.current.why.state) == ("train", State.WAITING)


def test_a_drive_job_that_failed_has_stopped_the_run(made):
    end = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy"}
    given = "Container drive for pod x/y failed with exit code 77 matching FailJob rule at index 0"
    cluster = Showing(drive={"job": {"conditions": [{**end, "message": given}]}})
    found = seen(made, cluster)
    assert found.current.why.state is State.PERMANENT
    assert "exit 77" in found.current.why.summary


def test_a_stage_that_failed_for_good_says_so_itself(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=70, message="NaN at step 3")
    found = seen(made, Showing(drive={"pods": [running()]}))
    assert found.current.why.state is State.PERMANENT
    assert found.current.why.message == "NaN at step 3"


def test_a_pod_that_checks_an_older_attempt_is_not_called_running(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=None, at=NOW, pod="x-train-0")
    why = seen(made, Showing(train={"pods": [running()]})).current.why
    assert why.state is State.WAITING
    assert "attempt 1 of pod x-train-0" in why.summary
    made.attempt(Stage.TRAIN, 2, code=None, at=NOW, pod="x-train-1")
    assert seen(made, Showing(train={"pods": [running()]})).current.why.state is State.RUNNING


def test_a_pod_after_an_attempt_with_an_ending_starts_at_once(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=143, at=NOW, pod="x-train-0")
    assert seen(made, Showing(train={"pods": [running()]})).current.why.state is State.RUNNING


PAUSED = "Paused at its limit, after step 8 (900 tokens, validation loss 1.9000)"


COMPLETE_JOB = {"job": {"conditions": [{"type": "Complete", "status": "True"}]}}


@pytest.mark.parametrize("shown", [{}, {"train": COMPLETE_JOB}], ids=["bucket", "cluster"])
def test_a_trial_that_its_sweep_paused_is_neither_failed_nor_at_work(made, shown):
    made.prep()
    made.commit(8)
    made.attempt(Stage.TRAIN, 1, code=143, at=NOW)
    made.attempt(Stage.TRAIN, 2, code=0, message=PAUSED, at=NOW)
    found = seen(made, Showing(**shown)) if shown else seen(made)
    assert found.current.why.state is State.PAUSED
    assert found.current.why.action == ""
    text = screen(found)
    assert "train: paused: its sweep compares it" in text
    assert PAUSED in text


def test_a_paused_trial_that_goes_on_runs_and_one_that_is_complete_is(made):
    made.prep()
    made.commit(8)
    made.attempt(Stage.TRAIN, 1, code=0, message=PAUSED, at=NOW)
    made.attempt(Stage.TRAIN, 2, code=None, at=NOW)
    assert seen(made).current.why.state is State.RUNNING


def test_a_stage_that_is_complete_is_not_paused_whatever_its_last_attempt_says(made):
    made.whole()
    made.attempt(Stage.TRAIN, 2, code=0, message=PAUSED, at=NOW)
    train = read_run(made.store, made.id).stages[1]
    assert (train.last.message, train.paused) == (PAUSED, "")


class Silent(Showing):
    """A cluster whose user may ask for nothing."""

    def stage_snapshot(self, *_, **__):
        raise PermissionDeniedError("You may not list jobs")


def test_of_a_cluster_that_does_not_tell_the_bucket_is_shown_and_why(made, caplog):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=143)
    found = seen(made, Silent(), "namespace x")
    assert (found.cluster, found.current.why.state) == ("", State.RETRYABLE)
    assert "The bucket alone is shown: You may not list jobs" in caplog.text


def test_a_namespace_that_is_not_there_is_named_beside_what_the_bucket_says(made, caplog):
    made.prep()
    cluster = Showing()
    cluster.namespace = MISSING
    assert seen(made, cluster, "namespace typo").cluster == ""
    assert f"The bucket alone is shown: There is no namespace '{MISSING}'" in caplog.text
