"""Lines of a log pass once, and retries are bounded."""

from __future__ import annotations

import pytest

from fingpt.cluster.api import stream
from fingpt.cluster.api.stream import NewLines, WatchBackoff
from fingpt.errors import TransientError


def test_equal_lines_of_different_times_are_different_lines():
    new = NewLines()
    stamped = ["2026-01-01T00:00:01Z loss", "2026-01-01T00:00:01.1Z loss"]
    assert [new.take(each) for each in stamped] == ["loss", "loss"]


def test_a_fraction_of_fewer_digits_is_not_taken_for_an_earlier_time():
    new = NewLines()
    assert new.take("2026-01-01T00:00:01.09Z early") == "early"
    assert new.take("2026-01-01T00:00:01.1Z late") == "late"
    assert new.take("2026-01-01T00:00:01.099999999Z before late") is None


def test_an_empty_line_is_a_line():
    assert NewLines().take("2026-01-01T00:00:01Z ") == ""


def test_nothing_heard_yet_means_asking_for_everything():
    new = NewLines()
    assert new.since_seconds() is None
    new.take("2026-01-01T00:00:01Z one")
    assert new.since_seconds() == 30


def test_pauses_grow_to_a_bound_and_shrink_when_an_answer_comes(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(stream.time, "sleep", slept.append)
    backoff = WatchBackoff("Job x")
    for _ in range(7):
        backoff.pause(TransientError("away."))
    backoff.reset()
    backoff.pause()
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 0.5]


def test_retries_end_with_the_last_error(monkeypatch):
    clock = iter([0.0, 599.0, 601.0])
    monkeypatch.setattr(stream.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(stream.time, "sleep", lambda _: None)
    backoff = WatchBackoff("Job x")
    backoff.pause(TransientError("first"))
    backoff.pause(TransientError("second"))
    with pytest.raises(TransientError, match="third"):
        backoff.pause(TransientError("third"))
