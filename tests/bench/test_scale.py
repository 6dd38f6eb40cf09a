"""A small bench of scale that asserts what it counts, never how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fingpt.errors import SetupError
from tests.bench import scale_cluster, scale_lists, scale_traffic
from tests.bench.figures import line, p99
from tests.bench.scale import as_text


@contextmanager
def left_out_without_its_servers() -> Iterator[None]:
    """A bench names what it lacks, and so does the test of it: an S3 server, or a cluster with simulated nodes."""
    try:
        yield
    except SetupError as fault:
        pytest.skip(str(fault))


def test_a_line_has_its_ratio_to_the_peer_and_says_it():
    found = line("x", 3.0, "s", peer=2.0, limit=4.0)
    assert (found["ratio"], as_text(found)) == (1.5, "x: 3 s, peer 2, ratio 1.50, limit 4")
    assert line("x", 3.0, "s")["ratio"] is None


def test_the_99th_percentile_of_few_is_the_largest():
    assert p99([1.0, 5.0, 2.0]) == 5.0
    assert p99([float(n) for n in range(1, 1001)]) == pytest.approx(990, abs=1)


def test_without_simulated_nodes_the_part_is_left_out_with_a_sentence(monkeypatch):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(SetupError, match="KUBECONFIG"):
        scale_cluster.simulated_nodes()


@pytest.mark.slow
def test_trials_ask_a_real_server_for_a_known_number_of_things(tmp_path):
    with left_out_without_its_servers():
        lines = scale_traffic.measure(tmp_path, 20)
    figures = {each["name"].partition(": ")[2]: each["ours"] for each in lines}
    assert figures["failed trials"] == 0
    assert 80 < figures["requests per trial"] < 250


@pytest.mark.slow
def test_lists_need_no_more_memory_for_more_runs(tmp_path):
    with left_out_without_its_servers():
        lines = scale_lists.measure(tmp_path, 300, repeats=1)
    memory = [each for each in lines if each["name"].endswith("memory")]
    assert len(memory) == 5
    assert all(each["ours"] < 1.2 * each["peer"] for each in memory)


@pytest.mark.slow
def test_a_job_of_many_trials_is_never_followed_by_listing_its_pods(tmp_path):
    with left_out_without_its_servers():
        lines = scale_cluster.measure(tmp_path, 200)
    figures = {each["name"].partition(": ")[2]: each["ours"] for each in lines}
    assert figures["lists of the trials' pods"] <= 1
