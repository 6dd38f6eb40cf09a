"""One stream over pods and stages, and directions once pods are gone."""

from __future__ import annotations

import pytest

from fingpt.cluster.api.objects import JobState, PodState
from fingpt.cluster.logs import run_log
from fingpt.errors import MissingInputError, SetupError, TransientError
from fingpt.runs.run import Stage
from tests.cluster.fake_cluster import MISSING, FakeCluster
from tests.made_run import MadeRun

ENDED = {"conditions": [{"type": "Complete", "status": "True"}]}


class Cluster(FakeCluster):
    """Jobs by stage as a sequence of states, pods by stage with their lines."""

    def __init__(self, jobs=None, pods=None) -> None:
        super().__init__()
        self.states, self.lines, self.looks = jobs or {}, pods or {}, dict.fromkeys(jobs or {}, 0)

    def job(self, name):
        stage = name.rpartition("-")[2]
        states = self.states.get(stage)
        if not states:
            return None
        state = states[min(self.looks[stage], len(states) - 1)]
        self.looks[stage] += 1
        return None if state is None else JobState.of({"metadata": {}, "status": state})

    def pods(self, run_id="", stage=""):
        shown = max(1, self.looks.get(stage, 1))
        names = list(self.lines.get(stage, {}))[:shown]
        return tuple(PodState.of({"metadata": {"name": name, "uid": name}}) for name in names)

    def logs(self, pod, follow=False):
        for lines in self.lines.values():
            if pod in lines:
                given = lines[pod]
                if isinstance(given, Exception):
                    raise given
                yield from given


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


def read(made, cluster, *, follow=True) -> list[str]:
    return list(run_log(cluster, made.store, made.run, follow=follow, sleep=lambda _: None))


def plain(lines) -> list[str]:
    return [line for line in lines if not line.startswith("#")]


def test_a_second_pod_and_the_next_stage_follow_by_themselves(made):
    made.prep()
    made.train()
    cluster = Cluster(
        jobs={"prep": [ENDED], "train": [{"active": 1}, {"active": 1}, ENDED], "eval": [ENDED]},
        pods={"prep": {"p1": ["a"]}, "train": {"t1": ["b"], "t2": ["c"]}, "eval": {"e1": ["d"]}},
    )
    assert plain(read(made, cluster)) == ["a", "b", "c", "d"]


def test_each_line_s_pod_and_node_are_named(made):
    lines = read(made, Cluster({"prep": [ENDED]}, {"prep": {"p1": ["a"]}}))
    assert lines[0].startswith("# prep: pod p1")


def test_the_next_stage_is_waited_for_while_drive_lives(made):
    made.prep()
    cluster = Cluster(
        jobs={"drive": [{"active": 1}], "train": [None, None, {"active": 1}, ENDED]},
        pods={"train": {"t1": ["b"]}},
    )
    cluster.pods = lambda run_id="", stage="": (
        (PodState.of({"metadata": {"name": "t1", "uid": "t1"}}),)
        if stage == "train" and cluster.looks["train"] > 2
        else ()
    )
    assert plain(read(made, cluster)) == ["b"]


def test_a_stage_whose_pods_are_gone_says_where_its_records_are(made):
    made.prep()
    made.attempt(Stage.TRAIN, 1, code=70, message="NaN at step 3")
    text = "\n".join(read(made, Cluster()))
    assert f"{made.store.uri}/runs/{made.id}/train/attempts/" in text
    assert "exit 70 NaN at step 3" in text
    assert "metrics.jsonl" in text
    assert "eval" not in text  # train has not finished, so there is nothing to say of eval


def test_a_pod_that_vanished_or_has_not_started_does_not_end_the_reading(made):
    made.prep()
    pods = {"prep": {"p1": MissingInputError("gone"), "p2": ["a"]}, "train": {"t1": ["b"]}}
    cluster = Cluster({"prep": [{}, {}, ENDED], "train": [ENDED]}, pods)
    lines = read(made, cluster)
    assert plain(lines) == ["a", "b"]
    assert any("p1 is gone" in line for line in lines)
    waiting = Cluster({"prep": [{"active": 1}]}, {"prep": {"p1": TransientError("no log yet")}})
    assert "# no log yet" in read(made, waiting, follow=False)


def test_a_namespace_that_is_not_there_is_no_run_whose_pods_are_gone(made):
    cluster = Cluster()
    cluster.namespace = MISSING
    with pytest.raises(SetupError, match=f"no namespace '{MISSING}'"):
        read(made, cluster)
