"""Who carries out runs: real processes of this machine, and Jobs of a cluster in memory."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import pytest

from fingpt.cluster.api.objects import Condition, ContainerPhase, ContainerState, PodState
from fingpt.cluster.diagnosis.snapshot import JobSnapshot
from fingpt.cluster.job import DRIVE, SWEEP
from fingpt.cluster.site import Site
from fingpt.errors import TransientError
from fingpt.runs.freeze import create_run
from fingpt.runs.run import Stage
from fingpt.runs.signals import interrupt_on_signals
from fingpt.sweeps.finals import final_runs, leader
from fingpt.sweeps.plan import plan
from fingpt.sweeps.pods import ClusterWorkers
from fingpt.sweeps.pool import Ended, LocalWorkers
from fingpt.sweeps.sweep import Sweep
from fingpt.sweeps.trials import begin
from tests.cluster.fake_cluster import FakeCluster
from tests.cluster.sites import IMAGES, site_data
from tests.sweeps.studies import MODEL, complete_eval, complete_prep, complete_train, frozen

TRIAL = (Stage.PREP, Stage.TRAIN)


@pytest.fixture
def sweep(store, tmp_path) -> Sweep:
    local = frozen(store, tmp_path)
    made = Sweep.of(local.name, local.definition, local.bases, IMAGES)
    first = leader(made, MODEL)
    create_run(store, first)
    complete_prep(store, first)
    return made


@pytest.fixture
def run(store, sweep):
    return begin(store, sweep, MODEL, 0, plan(sweep.definition)[0])


@pytest.fixture
def local(store, sweep):
    workers = LocalWorkers(store, lambda _: leader(sweep, MODEL))
    yield workers
    workers.close()


def end_of(workers, run) -> Ended:
    for _ in range(600):
        if (ended := workers.ended(run)) is not None:
            return ended
        workers.wait(0.5)
    raise AssertionError("it does not end")


def test_a_process_that_fails_says_how(local, run, store):
    local.start(run, TRIAL)
    assert store.exists(f"runs/{run.id}/prep/COMPLETE.json"), "the data set is taken over first"
    assert local.ended(run) is None
    local.start(run, TRIAL)  # under way: nothing happens
    assert len(local._work) == 1
    ended = end_of(local, run)
    assert ended.code == 66
    assert "make tiny MODEL=tiny-llama31" in ended.message
    assert ended.counts


def test_a_process_whose_end_could_not_be_recorded_is_told_of_by_its_code(local, run):
    said = local._message(run, Stage.TRAIN, 77)
    assert "exit code 77 (credentials or permissions refuse); its last line says why" in said


def test_a_run_that_is_complete_needs_no_process(local, run, store):
    complete_train(store, run)
    local.start(run, TRIAL)
    assert local.ended(run) == Ended(0)


def test_closing_a_pool_ends_its_processes(local, run):
    local.start(run, TRIAL)
    process = local._work[run.id].process
    began = time.monotonic()
    local.close()
    assert process.poll() is not None
    assert time.monotonic() - began < 60


def test_ctrl_c_while_a_process_starts_leaves_it_to_the_pool_that_ends_it(
    local, run, interrupted_start
):
    with pytest.raises(KeyboardInterrupt), interrupt_on_signals():
        local.start(run, TRIAL)
    local.close()
    assert [process.poll() for process in interrupted_start] == [-signal.SIGTERM]


@pytest.mark.parametrize(
    ("code", "counts"), [(1, True), (74, True), (75, False), (76, False), (143, False)]
)
def test_only_what_a_run_did_itself_counts_as_a_try(code, counts):
    assert Ended(code).counts is counts


class Cluster(FakeCluster):
    """Keeps the Jobs that it was sent, and answers with `pods`; silent for `silent` questions."""

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.ended_pods, self.silent = [], (), 0

    def apply_job(self, job):
        self.sent.append(job)
        return super().apply_job(job)

    def job(self, name):
        if self.silent:
            self.silent -= 1
            raise TransientError("The API server is silent.")
        return super().job(name)

    def stage_snapshot(self, run_id, stage, *, complete):
        snapshot = super().stage_snapshot(run_id, stage, complete=complete)
        return JobSnapshot(job=snapshot.job, pods=self.ended_pods, complete=complete)

    def ends(self, *conditions: str) -> None:
        for name, job in self.there.items():
            given = tuple(Condition(each, True, "PodFailurePolicy", "") for each in conditions)
            self.there[name] = replace(job, conditions=given)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def jobs(cluster, store, sweep):
    site = Site.of(site_data(store="s3://bucket"))
    first = leader(sweep, MODEL)
    return ClusterWorkers(cluster, store, sweep.id, lambda _: first, site, sleep=lambda _: None)


def test_a_trial_is_its_train_job_and_a_final_run_its_drive_job(jobs, cluster, run, sweep, store):
    final = final_runs(sweep, MODEL, {})[1]
    create_run(store, final)
    jobs.start(run, TRIAL)
    jobs.start(final, final.stages)
    assert cluster.created == [f"{run.id}-train", f"{final.id}-{DRIVE}"]
    assert {job["metadata"]["labels"][SWEEP] for job in cluster.sent} == {sweep.id}
    jobs.start(run, TRIAL)
    assert len(cluster.created) == 2


def test_a_job_is_under_way_until_the_bucket_or_the_cluster_says_otherwise(
    jobs, cluster, run, store
):
    jobs.start(run, TRIAL)
    assert jobs.ended(run) is None
    complete_train(store, run)
    assert jobs.ended(run) == Ended(0)


def test_a_run_that_is_complete_needs_no_job(jobs, cluster, run, store):
    complete_train(store, run)
    jobs.start(run, TRIAL)
    assert (jobs.ended(run), cluster.created) == (Ended(0), [])


def test_where_trainings_pause_each_stage_has_a_job_of_its_own(jobs, cluster, store, sweep):
    final = final_runs(sweep, MODEL, {})[1]
    create_run(store, final)
    jobs.pausing = True
    jobs.start(final, final.stages)
    assert cluster.created == [f"{final.id}-train"]
    complete_train(store, final)
    assert jobs.ended(final) is None
    assert cluster.created == [f"{final.id}-train", f"{final.id}-eval"]
    complete_eval(store, final)
    assert jobs.ended(final) == Ended(0)


def test_a_silent_api_server_is_waited_for(jobs, cluster, run, monkeypatch):
    monkeypatch.setattr("fingpt.cluster.api.stream.time.sleep", lambda _: None)
    jobs.start(run, TRIAL)
    cluster.silent = 2
    assert [jobs.ended(run) for _ in range(3)] == [None] * 3


def test_a_job_that_failed_ends_with_its_pod_s_code_and_message(jobs, cluster, run):
    jobs.start(run, TRIAL)
    state = ContainerState(ContainerPhase.TERMINATED, "Error", "The loss is NaN.", 70)
    cluster.ended_pods = (
        PodState("p", "p", "", "train", "j", "Failed", "n", "", "", "", "", state),
    )
    cluster.ends("Failed")
    ended = jobs.ended(run)
    assert (ended.code, "The loss is NaN." in ended.message) == (70, True)


def test_a_complete_job_ends_well_and_one_that_is_gone_can_be_made_again(jobs, cluster, run):
    jobs.start(run, TRIAL)
    cluster.ends("Complete")
    assert jobs.ended(run).code == 0, "whether it paused or failed in silence the bucket says"
    assert "is not in the store" in jobs.ended(run).message
    cluster.there.clear()
    ended = jobs.ended(run)
    assert (ended.code, ended.counts) == (75, False)
    jobs.start(run, TRIAL)
    assert cluster.created == [f"{run.id}-train"] * 2
