"""A sweep on one screen, in few requests, and waiting for its end."""

from __future__ import annotations

import io
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from fingpt.cluster.api.faults import NoClusterError
from fingpt.cluster.api.objects import Condition, JobState, numbers_in
from fingpt.cluster.diagnosis.snapshot import Explanation, State
from fingpt.errors import (
    Interrupted,
    MissingInputError,
    PermissionDeniedError,
    SetupError,
    StageFailedError,
    StorageError,
    TransientError,
)
from fingpt.record import canonical_json
from fingpt.runs.manifest import encode
from fingpt.runs.run import Stage, claim_key
from fingpt.sweeps import status as module
from fingpt.sweeps import waiting
from fingpt.sweeps.claim import controlling
from fingpt.sweeps.records import complete_key
from fingpt.sweeps.status import Reached, render, sweep_status
from fingpt.sweeps.view import read_sweep
from fingpt.sweeps.waiting import wait_for_sweep
from tests.bench import invented
from tests.cluster.fake_cluster import MISSING, FakeCluster, job_state
from tests.runs.test_recent import Counted

SWEEP = "lora-grid-0a1b2c3d"
NOW = datetime(2030, 1, 1, 1, tzinfo=UTC)


@pytest.fixture
def sweep(store) -> str:
    """Both models: 20 trials planned, 12 asked for, 10 of them told."""
    invented.put_sweep(store, SWEEP, trials=20, asked=12, told=10)
    return SWEEP


def there(cluster: FakeCluster | None) -> Callable[[], Reached]:
    """How a command gets to a cluster, or to none."""
    return lambda: (cluster, "there" if cluster else "")


def test_a_cluster_is_connected_to_while_the_bucket_is_read(store, sweep, monkeypatch):
    """Each may be busy for a second; neither goes on here before the other has begun."""
    both = threading.Barrier(2, timeout=10)
    read = module.read_sweep

    def reach() -> Reached:
        both.wait()
        return FakeCluster(), "there"

    def read_beside(*given):
        both.wait()
        return read(*given)

    monkeypatch.setattr(module, "read_sweep", read_beside)
    found = sweep_status(store, sweep, NOW, reach)
    assert found.cluster == "there"
    assert found.controller == "absent: the cluster has no controller for it"


def indexed(model: str, **status: int | str) -> dict:
    return {
        "metadata": {
            "name": f"{SWEEP}-{model}",
            "labels": {"fingpt-jobs/model": model},
            "creationTimestamp": "2030-01-01T00:00:00Z",
        },
        "spec": {
            "completions": 20,
            "completionMode": "Indexed",
            "suspend": status.pop("suspend", False),
        },
        "status": {"startTime": "2030-01-01T00:00:00Z", **status},
    }


def fail(fault: Exception) -> None:
    raise fault


def shown(found) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render(found))
    return capture.get()


def test_the_bucket_alone_tells_states_the_best_rate_and_time_left(store, sweep):
    found = sweep_status(store, sweep, NOW)
    study = found.studies[0]
    assert (found.state, study.total, study.asked, study.told, study.read) == (
        "stopped",
        20,
        12,
        10,
        10,
    )
    assert study.ended == {"complete": 7, "failed": 2, "pruned": 1}
    assert (study.best, study.best_trial) == (pytest.approx(1.5 - 6e-5), 6)
    assert study.rate == pytest.approx(2 / 60)
    assert study.seconds_left == pytest.approx(10 * 30)
    text = shown(found)
    assert "7 complete, 2 failed, 1 pruned" in text
    assert "1.4999 (trial 6)" in text
    assert "controller: nobody works on it; the command that made it goes on with it" in text
    with controlling(store, sweep):
        for cluster in (None, FakeCluster()):
            again = sweep_status(store, sweep, datetime.now(UTC), there(cluster))
            assert again.state == "searching"
            assert again.controller == f"process {os.getpid()} on {platform.node()} works on it"
            assert again.action == ""
    assert "nobody works on it, the last one was heard of at 20" in shown(
        sweep_status(store, sweep, datetime.now(UTC))
    )


def test_of_a_search_that_prunes_only_as_many_are_under_way_as_may_be_the_others_wait_at_rungs(
    store,
):
    invented.put_sweep(
        store, SWEEP, trials=20, asked=12, told=3, method="tpe", pruning={"reduction": 2}
    )
    found = sweep_status(store, SWEEP, NOW)
    assert [each.paused for each in found.studies] == [7, 7]
    assert "2, 7 paused │ 8 " in shown(found)


def test_an_indexed_job_counts_its_own_trials_and_pods_are_not_listed(store, sweep):
    cluster = FakeCluster()
    job = JobState.of(
        indexed("tiny-llama31", active=3, succeeded=12, failed=9, failedIndexes="1,4-5")
    )
    cluster.there["trials"] = job
    cluster.there[f"sweep-{SWEEP}"] = job_state(f"sweep-{SWEEP}")
    cluster.pods = lambda *_: pytest.fail("all pods of a sweep were listed")
    study = sweep_status(store, sweep, NOW, there(cluster)).studies[1]
    assert study.model == "tiny-llama31"
    assert (study.running, study.ended) == (3, {"complete": 12, "failed": 3})
    assert study.rate == pytest.approx(15 / 3600)
    assert study.why == ""


def test_a_job_that_a_queue_holds_back_says_why(store, sweep, monkeypatch):
    cluster = FakeCluster()
    for model in invented.MODELS:
        cluster.there[model] = JobState.of(indexed(model, suspend=True))
    cluster.pods = cluster.job_snapshot = lambda *_: pytest.fail("all pods were listed")
    found = sweep_status(store, sweep, NOW, there(cluster))
    assert found.state == "waiting"
    assert "absent: the cluster has no controller" in shown(found)
    assert found.studies[0].why.startswith("waiting: suspended, as Kueue does")


def test_tells_that_there_was_no_time_to_read_are_counted_and_said_to_be_unread(
    store, sweep, monkeypatch
):
    monkeypatch.setattr(module, "READ_SECONDS", -1.0)
    found = sweep_status(store, sweep, NOW)
    assert found.studies[0].ended["told, not read"] == 9
    assert "the best of 1 tells that were read, of 10" in shown(found)


@pytest.mark.parametrize("trials", [400, pytest.param(3000, marks=pytest.mark.slow)])
def test_the_requests_of_a_status_do_not_grow_with_the_trials_but_for_pages_of_names(
    tmp_path, monkeypatch, trials
):
    monkeypatch.setattr(module, "READ_SECONDS", -1.0)
    store = Counted(tmp_path / "store")
    for key, data in invented.sweep_objects(SWEEP, trials, trials, trials):
        invented.write(tmp_path / "store" / key, data)
    sweep_status(store, SWEEP, NOW)
    names = 2 * 2 * trials
    assert store.requests <= names / 1000 + 2 * 20 + 5


def test_bucket_and_cluster_are_asked_side_by_side(store, sweep, monkeypatch):
    """Each waits here until the other has been asked."""
    both = threading.Barrier(2, timeout=10)

    def meeting(asked):
        def ask(*given):
            both.wait()
            return asked(*given)

        return ask

    cluster = FakeCluster()
    cluster.there[f"sweep-{SWEEP}"] = job_state(f"sweep-{SWEEP}")
    monkeypatch.setattr(cluster, "search_jobs", meeting(cluster.search_jobs))
    monkeypatch.setattr(module, "read_sweep", meeting(module.read_sweep))
    found = sweep_status(store, sweep, NOW, there(cluster))
    assert found.state == "searching"
    assert found.controller.startswith("waiting")


@pytest.mark.parametrize(
    ("fault", "controller", "state"),
    [
        (
            TransientError("it is away"),
            "unknown, since the cluster does not tell; in the",
            "searching",
        ),
        (PermissionDeniedError("it is away"), "unknown, since", "searching"),
        (NoClusterError("it is away"), "nobody works on it", "stopped"),
    ],
)
@pytest.mark.parametrize("at", ["connect", "search_jobs"])
def test_of_a_cluster_that_does_not_tell_the_bucket_is_shown_and_why(
    store, sweep, monkeypatch, caplog, at, fault, controller, state
):
    """What works on a sweep is not known then, but where no cluster is named at all."""
    cluster = FakeCluster()
    monkeypatch.setattr(cluster, "search_jobs", lambda _: fail(fault))
    reach = there(cluster) if at == "search_jobs" else lambda: fail(fault)
    found = sweep_status(store, sweep, NOW, reach)
    assert (found.state, found.cluster, found.studies[0].told) == (state, "", 10)
    assert found.controller.startswith(controller)
    assert "The bucket alone is shown: it is away" in caplog.text


def test_a_controller_that_cannot_start_blocks_its_sweep(store, sweep, monkeypatch):
    cluster = FakeCluster()
    cluster.there[f"sweep-{SWEEP}"] = job_state(f"sweep-{SWEEP}")
    why = Explanation(State.BLOCKED, "its image cannot be pulled", action="name another image")
    monkeypatch.setattr(module, "explain", lambda _: why)
    found = sweep_status(store, sweep, NOW, there(cluster))
    assert (found.state, found.action) == ("blocked", "name another image")


def test_finals_that_nobody_works_on_are_stopped(store):
    invented.put_sweep(store, SWEEP, trials=2, asked=2, told=2)
    assert sweep_status(store, SWEEP, NOW).state == "stopped"


def test_a_tell_that_cannot_be_read_is_counted_and_how_to_find_it_is_said(store, sweep):
    key = next(each for each in store.keys(f"sweeps/{SWEEP}/") if "/tells/" in each)
    path = Path(store.uri.removeprefix("file://")) / key
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:60])
    found = sweep_status(store, sweep, NOW)
    assert sum(each.ended.get("unreadable", 0) for each in found.studies) == 1
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(found))
    assert f"a tell cannot be read; which one: make verify SWEEP={SWEEP}" in console.export_text()


def test_a_sweep_that_ends_while_it_is_asked_for_is_complete(store, sweep, monkeypatch):
    read = module.read_sweep

    def end_then_read(*given):
        finish(store)
        return read(*given)

    monkeypatch.setattr(module, "read_sweep", end_then_read)
    found = sweep_status(store, sweep, NOW, there(FakeCluster()))
    assert (found.state, found.controller, found.action) == ("complete", "", "")


def finish(store) -> None:
    """Store the sweep's last record."""
    store.create(complete_key(SWEEP), encode(invented.end_of(read_sweep(store, SWEEP).sweep)))


def test_a_complete_sweep_asks_no_cluster_and_is_not_waited_for(store, sweep):
    finish(store)
    found = sweep_status(store, sweep, NOW, lambda: pytest.fail("the cluster was asked"))
    study = found.studies[0]
    assert (found.state, study.told, study.read, study.ended) == (
        "complete",
        2,
        2,
        {"complete": 2},
    )
    assert (study.best, study.best_trial) == (1.0, 1)
    wait_for_sweep(store, sweep, None, lambda _: pytest.fail("there is nothing to wait for"))


def test_waiting_lasts_until_the_last_record_is_there(store, sweep):
    slept = []

    def finish_later(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            finish(store)

    wait_for_sweep(store, sweep, None, finish_later)
    assert len(slept) == 3


def test_a_last_record_that_is_none_is_no_end_for_those_who_wait(store, sweep):
    store.create(complete_key(SWEEP), b"{}")
    with pytest.raises(StorageError, match=r"COMPLETE\.json"):
        wait_for_sweep(store, sweep, None, lambda _: pytest.fail("there is nothing to wait for"))


def test_a_failed_controller_ends_the_waiting_with_its_code(store, sweep):
    cluster = FakeCluster()
    failed = Condition("Failed", true=True, reason="DeadlineExceeded", message="too long")
    cluster.there[f"sweep-{SWEEP}"] = job_state(f"sweep-{SWEEP}", failed)
    with pytest.raises(StageFailedError, match="longer than the site allows"):
        wait_for_sweep(store, sweep, cluster, lambda _: pytest.fail("it has ended"))


def test_a_sweep_that_nothing_works_on_is_not_waited_for_for_ever(store, sweep):
    slept = []
    with pytest.raises(
        MissingInputError,
        match=r"Nothing works on .*: make sweep SPACE=FOLDER/lora-grid\.yaml DATA=raw/.* MODELS='tiny-",
    ):
        wait_for_sweep(store, sweep, None, slept.append)
    assert sum(slept) <= waiting.NOTHING_SECONDS + 2 * waiting.POLL_SECONDS


def test_a_trial_with_a_living_attempt_is_work_on_the_sweep(store, sweep):
    run = invented.run_of(2 * 11).id
    now = canonical_json({"started_at": datetime.now(UTC).isoformat()})
    store.create(claim_key(run, Stage.TRAIN, 1), now)
    slept = []

    def stop(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 20:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="make wait SWEEP="):
        wait_for_sweep(store, sweep, None, stop)


def test_indexes_of_a_job_are_counted_from_their_text():
    job = JobState.of(indexed("tiny-llama31", failedIndexes="0,2-4,9"))
    assert (job.indexes, numbers_in(job.failed_indexes)) == (20, {0, 2, 3, 4, 9})
    assert replace(job, name="x").model == "tiny-llama31"


def test_a_namespace_that_is_not_there_is_named_by_status_and_ends_the_waiting(
    store, sweep, caplog
):
    cluster = FakeCluster()
    cluster.namespace = MISSING
    assert sweep_status(store, sweep, NOW, there(cluster)).cluster == ""
    assert f"The bucket alone is shown: There is no namespace '{MISSING}'" in caplog.text
    with pytest.raises(SetupError, match=f"no namespace '{MISSING}'"):
        wait_for_sweep(store, sweep, cluster, lambda _: pytest.fail("nothing is there"))
