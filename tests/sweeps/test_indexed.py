"""A search as one Indexed Job: its status and the bucket become tells; pods find their own trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import fingpt.runs.run as run_module
from fingpt.cluster.api.objects import (
    Condition,
    ContainerPhase,
    ContainerState,
    JobState,
    PodState,
    numbers_in,
)
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.site import Site
from fingpt.errors import (
    ConfigError,
    DivergedError,
    MissingInputError,
    RunConflictError,
    StageFailedError,
    StartTimeoutError,
)
from fingpt.runs.attempt import claim
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Run, Stage
from fingpt.sweeps.finals import leader
from fingpt.sweeps.indexed import IndexedSearch
from fingpt.sweeps.plan import plan
from fingpt.sweeps.pod import begin_trial, locate_sweep
from fingpt.sweeps.records import sweep_key
from fingpt.sweeps.sweep import Sweep, create_sweep, trial_run
from fingpt.sweeps.trials import begin, read_tell
from tests.cluster.fake_cluster import FakeCluster
from tests.cluster.sites import IMAGES, site_data
from tests.sweeps.studies import MODEL, complete_prep, complete_train, frozen, loss_of


@pytest.fixture
def sweep(store, tmp_path) -> Sweep:
    local = frozen(store, tmp_path)
    made = Sweep.of(local.name, local.definition, local.bases, IMAGES)
    create_sweep(store, made)
    first = leader(made, MODEL)
    create_run(store, first)
    complete_prep(store, first)
    return made


def failed_pod(job: str, index: int, code: int, message: str, reason: str = "Error") -> PodState:
    state = ContainerState(ContainerPhase.TERMINATED, reason, message, code)
    name = f"{job}-{index}-abcde"
    return PodState(name, name, "", "trial", job, "Failed", "n", "", "", "", "", state)


class Playing(FakeCluster):
    """Gives the Job's next state each time it is asked for; `acts` happen before, as pods would do them."""

    def __init__(self, *acts: Any) -> None:
        super().__init__()
        self.acts = list(acts)
        self.state: dict[str, Any] = {}
        self.ended_pods: tuple[PodState, ...] = ()
        self.pods_asked: list[tuple[int | None, str]] = []
        self.watched = 0

    def job(self, name: str) -> JobState | None:
        there = self.there.get(name)
        if there is None or not name.endswith("-trial"):
            return there
        if self.acts:
            self.state = self.acts.pop(0)() or self.state
        return replace(there, **self.state)

    def watch_job(self, name: str) -> Iterator[JobState]:
        self.watched += 1
        while (state := self.job(name)) is not None:
            yield state
        raise MissingInputError(f"There is no Job {name}.")

    def pods(
        self, run_id: str = "", stage: str = "", *, index: int | None = None, phase: str = ""
    ) -> tuple[PodState, ...]:
        self.pods_asked.append((index, phase))
        return self.ended_pods

    def stage_snapshot(self, run_id: str, stage: str, *, complete: bool | None) -> JobSnapshot:
        return JobSnapshot(job=next(iter(self.there.values())), complete=complete)


def searched(cluster: Playing, store, sweep) -> Any:
    search = IndexedSearch(cluster, store, sweep, MODEL, sleep=lambda _: None)
    return search.carry_out(Site.of(site_data(store="s3://bucket")))


def trained(store, sweep, *numbers: int) -> None:
    for n in numbers:
        complete_train(store, begin(store, sweep, MODEL, n, plan(sweep.definition)[n]))


def verdict(store, sweep, n: int, text: str) -> None:
    run = begin(store, sweep, MODEL, n, plan(sweep.definition)[n])
    with claim(store, run.id, Stage.TRAIN) as attempt:
        attempt.__exit__(DivergedError, DivergedError(text), None)


def test_indexes_are_read_as_kubernetes_writes_them():
    assert numbers_in("") == set()
    assert numbers_in("3") == {3}
    assert numbers_in("0-2,7,9-10") == {0, 1, 2, 7, 9, 10}


def test_trials_are_told_as_their_indexes_end(store, sweep):
    seen: list[list[bool]] = []

    def look() -> None:
        seen.append([read_tell(store, sweep, MODEL, n) is not None for n in range(4)])

    def first() -> dict[str, Any]:
        trained(store, sweep, 2)
        return {"completed_indexes": "2"}

    def all_but_one() -> dict[str, Any]:
        look()
        trained(store, sweep, 0, 3)
        verdict(store, sweep, 1, "NaN at step 4")
        return {"completed_indexes": "0,2-3", "failed_indexes": "1"}

    cluster = Playing(dict, first, all_but_one)
    tells = searched(cluster, store, sweep)
    assert seen == [[False, False, True, False]]
    assert [each.state for each in tells] == ["complete", "failed", "complete", "complete"]
    assert tells[1].reason == "NaN at step 4"
    runs = [begin(store, sweep, MODEL, n, one) for n, one in enumerate(plan(sweep.definition))]
    assert [each.value for each in tells if each.value] == [loss_of(runs[n]) for n in (0, 2, 3)]
    assert len(cluster.created) == 1
    assert (cluster.watched, cluster.pods_asked) == (1, [])


def test_a_search_that_was_told_of_to_its_end_makes_no_job(store, sweep):
    trained(store, sweep, 0, 1, 2, 3)
    tells = searched(Playing(lambda: {"completed_indexes": "0-3"}), store, sweep)
    idle = Playing()
    assert searched(idle, store, sweep) == tells
    assert idle.created == []


def test_a_pod_that_the_kernel_killed_again_and_again_is_a_failed_trial_with_that_reason(
    store, sweep
):
    trained(store, sweep, 0, 1, 2)
    cluster = Playing(lambda: {"completed_indexes": "0-2", "failed_indexes": "3"})
    cluster.ended_pods = (failed_pod("x", 3, 1, "no"),)
    job = f"{sweep.id}-{MODEL}-trial"
    cluster.ended_pods += (failed_pod(job, 3, 137, "", "OOMKilled"), failed_pod(job, 13, 1, "no"))
    assert "out of memory" in searched(cluster, store, sweep)[3].reason
    assert cluster.pods_asked == [(3, "")]


def test_an_index_that_is_complete_without_a_result_is_a_silent_failure(store, sweep):
    with pytest.raises(DivergedError, match=r"Trial 0 .* silent failure"):
        searched(Playing(lambda: {"completed_indexes": "0"}), store, sweep)


def test_a_fault_of_the_place_ends_the_search_with_its_code_and_is_told_of_no_trial(store, sweep):
    over = {"conditions": (Condition("Failed", True, "PodFailurePolicy", "…"),)}
    cluster = Playing(lambda: over)
    cluster.ended_pods = (failed_pod(f"{sweep.id}-x-trial", 0, 77, "The keys are refused."),)
    with pytest.raises(
        StageFailedError, match=r"The keys are refused\. Then give the same"
    ) as fault:
        searched(cluster, store, sweep)
    assert fault.value.exit_code == 77
    assert cluster.pods_asked == [(None, "Failed")]
    assert not [key for key in store.keys("sweeps/") if "/tells/" in key]


def test_too_many_failures_end_the_search_with_the_reason_that_most_of_them_give(store, sweep):
    for n in (0, 1):
        verdict(store, sweep, n, "too hot")
    over = (Condition("Failed", True, "MaxFailedIndexes", "…"),)
    with pytest.raises(DivergedError, match=r"2 of the 4 trials .* most of them say: too hot"):
        searched(Playing(lambda: {"failed_indexes": "0-1", "conditions": over}), store, sweep)


def test_a_job_that_was_deleted_is_missed(store, sweep):
    cluster = Playing()

    def vanish() -> None:
        cluster.there.clear()

    class Vanishing(Playing):
        def job(self, name: str) -> JobState | None:
            return None

    with pytest.raises(MissingInputError):
        searched(Vanishing(), store, sweep)


def test_an_image_that_never_comes_is_given_up_after_a_quarter_of_an_hour(store, sweep):
    waiting = ContainerState(ContainerPhase.WAITING, "ErrImagePull", "no such image")
    pod = PodState("p", "p", "", "trial", "j", "Pending", "", "", "", "", "", waiting)

    class Unpullable(Playing):
        def stage_snapshot(self, run_id, stage, *, complete):
            job = next(iter(self.there.values()))
            return JobSnapshot(job=job, pods=(pod,), complete=complete)

    with pytest.raises(StartTimeoutError, match="could not start within 15 minutes"):
        searched(Unpullable(), store, sweep)


def test_a_pod_begins_the_trial_of_its_index_with_the_sweep_s_data_set(store, sweep):
    uri = f"{store.uri}/{sweep_key(sweep.id)}"
    found, again = locate_sweep(uri, sweep.sha256)
    run = begin_trial(found, again, MODEL, 2)
    assert isinstance(run, Run)
    assert run.config.train.lr == plan(sweep.definition)[2]["train.lr"]
    assert store.exists(f"runs/{run.id}/prep/COMPLETE.json")
    assert begin_trial(found, again, MODEL, 2) == run
    trained(store, sweep, 0, 1, 2, 3)
    searched(Playing(lambda: {"completed_indexes": "0-3"}), store, sweep)
    assert begin_trial(found, again, MODEL, 2) is None


@pytest.fixture
def ids_without_digits(monkeypatch) -> None:
    """Every run has the same short id."""
    monkeypatch.setattr(run_module, "_SHORT", 0)


def test_pods_whose_runs_meet_in_an_id_train_and_are_told_of_each_on_its_own(
    store, ids_without_digits, sweep
):
    runs = [begin_trial(store, sweep, MODEL, n) for n in (2, 0, 1, 3)]
    assert len({run.id for run in runs}) == 4
    assert begin_trial(store, sweep, MODEL, 1) == runs[2], "a pod of a retry takes the same run"
    trained(store, sweep, 0, 1, 2, 3)
    tells = searched(Playing(lambda: {"completed_indexes": "0-3"}), store, sweep)
    settings = plan(sweep.definition)
    assert [each.value for each in tells] == [
        loss_of(trial_run(sweep, MODEL, one)) for one in settings
    ]


@pytest.mark.parametrize("index", [-1, 4])
def test_a_pod_without_a_line_of_the_plan_says_so(store, sweep, index):
    with pytest.raises(ConfigError, match="has 4 trials"):
        begin_trial(store, sweep, MODEL, index)
    with pytest.raises(ConfigError, match="searches tiny-llama31, not 'x'"):
        begin_trial(store, sweep, "x", 0)


def test_a_pod_is_told_which_sweep_it_belongs_to(store, sweep):
    uri = f"{store.uri}/{sweep_key(sweep.id)}"
    with pytest.raises(RunConflictError, match="it was replaced"):
        locate_sweep(uri, "0" * 64)
    with pytest.raises(ConfigError, match="must look like"):
        locate_sweep(f"{store.uri}/sweeps/{sweep.id}")
    with pytest.raises(MissingInputError, match="no sweep"):
        locate_sweep(uri.replace(sweep.id, "grid-1"))


def test_a_trial_whose_data_set_is_not_made_waits_for_the_controller(store, tmp_path):
    bare = frozen(store, tmp_path)
    with pytest.raises(MissingInputError, match="not made yet"):
        begin_trial(store, bare, MODEL, 0)
