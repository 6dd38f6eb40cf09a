"""Claims, heartbeats and fencing."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fingpt.errors import FencedError, Interrupted, StorageError, TransientError
from fingpt.runs import attempt as attempts
from fingpt.runs import prune, state
from fingpt.runs.attempt import ProcessIdentity, claim
from fingpt.runs.run import Stage, attempt_key, claim_key, heartbeat_key, last_number
from fingpt.storage.s3_retry import RETRY_SECONDS

RUN, TRAIN = "r-1", Stage.TRAIN


def elsewhere(monkeypatch):
    """Make every claim look like one of another machine, whose processes cannot be seen from here."""
    monkeypatch.setattr(ProcessIdentity, "is_gone", lambda self: False)


def no_sleep(_):
    return None


def test_attempts_are_numbered_from_one_and_follow_an_ending(store):
    with claim(store, RUN, TRAIN) as first:
        pass
    with claim(store, RUN, TRAIN, sleep=no_sleep) as second:
        assert (first.number, second.number) == (1, 2)


def test_a_claim_names_the_pod_and_the_node(store, monkeypatch):
    monkeypatch.setenv("FINGPT_NODE", "gpu-1")
    claim(store, RUN, TRAIN)
    claimed = json.loads(store.read(claim_key(RUN, TRAIN, 1)))
    assert (claimed["pod"], claimed["node"]) == (socket.gethostname(), "gpu-1")


def test_an_ending_says_code_and_message(store):
    with pytest.raises(Interrupted), claim(store, RUN, TRAIN):
        raise Interrupted("SIGTERM honoured")
    ending = json.loads(store.read(attempt_key(RUN, TRAIN, 1)))
    assert (ending["code"], ending["message"]) == (143, "SIGTERM honoured")


def test_a_beating_attempt_keeps_its_stage(store, monkeypatch):
    elsewhere(monkeypatch)
    claim(store, RUN, TRAIN)
    beat = iter(range(1, 100))

    def sleep(_):
        store.create(heartbeat_key(RUN, TRAIN, 1, next(beat)), b"{}")

    with pytest.raises(FencedError, match="alive"):
        claim(store, RUN, TRAIN, sleep=sleep)
    assert not store.exists(claim_key(RUN, TRAIN, 2))


def test_a_silent_attempt_is_taken_over_and_fenced(store, monkeypatch):
    elsewhere(monkeypatch)
    silent = claim(store, RUN, TRAIN)
    silent.check()
    waited = []
    successor = claim(store, RUN, TRAIN, sleep=waited.append)
    assert successor.number == 2
    assert sum(waited) >= attempts.WATCH_SECONDS
    with pytest.raises(FencedError, match="taken over by attempt 2"):
        silent.check()
    successor.check()


def test_a_process_of_this_machine_that_is_gone_is_not_waited_for(store, monkeypatch):
    here = ProcessIdentity.current()
    monkeypatch.setattr(
        ProcessIdentity, "current", classmethod(lambda cls: replace(here, born="0"))
    )
    claim(store, RUN, TRAIN)
    monkeypatch.undo()
    assert claim(store, RUN, TRAIN, sleep=pytest.fail).number == 2


def test_this_process_is_not_gone_and_another_machine_s_cannot_be_judged():
    here = ProcessIdentity.current()
    assert not here.is_gone()
    assert replace(here, born="0").is_gone()
    assert not replace(here, born="0", host="elsewhere").is_gone()


def test_of_many_starters_each_claim_has_one_winner(store, monkeypatch):
    monkeypatch.setattr(attempts, "_watch", lambda *_: (_ for _ in ()).throw(FencedError("alive")))
    elsewhere(monkeypatch)
    barrier = threading.Barrier(8)

    def start(_):
        barrier.wait()
        try:
            return claim(store, RUN, TRAIN).number
        except FencedError:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(start, range(8)) if number]
    assert won == [1]


def test_an_attempt_beats_while_it_works(store, monkeypatch):
    monkeypatch.setattr(attempts, "BEAT_SECONDS", 0.01)
    with claim(store, RUN, TRAIN):
        threading.Event().wait(0.2)
    beats = last_number(store.exists, lambda n: heartbeat_key(RUN, TRAIN, 1, n))
    assert beats >= 3


@pytest.mark.parametrize("last", [0, 1, 2, 3, 7, 8, 9, 100])
def test_the_last_number_is_found_in_few_probes(last):
    probes = []

    def exists(key):
        probes.append(key)
        return int(key) <= last

    assert last_number(exists, str) == last
    assert len(probes) <= 2 * (last.bit_length() + 1)


def test_a_beat_that_could_not_be_stored_leaves_no_gap_in_their_numbers(store, monkeypatch):
    monkeypatch.setattr(attempts, "BEAT_SECONDS", 0.01)
    create, failures = store.create, iter([True, False, True, True])

    def unsteady(key, data):
        if "heartbeats" in key and next(failures, False):
            raise TransientError("the store is away")
        return create(key, data)

    monkeypatch.setattr(store, "create", unsteady)
    with claim(store, RUN, TRAIN):
        threading.Event().wait(0.4)
    last = last_number(store.exists, lambda n: heartbeat_key(RUN, TRAIN, 1, n))
    assert last == len(list(store.keys("runs/" + RUN + "/train/heartbeats/"))) >= 3
    assert b'"at"' in store.read(heartbeat_key(RUN, TRAIN, 1, last))


def test_an_attempt_is_given_up_only_after_beats_that_it_could_have_left():
    """A starter watches for several beats; status waits longer than a starter, the clean-up longer than any outage."""
    assert attempts.WATCH_SECONDS >= 3 * attempts.BEAT_SECONDS
    assert state.FRESH_SECONDS >= attempts.WATCH_SECONDS + RETRY_SECONDS
    assert prune.LIVE_SECONDS >= 10 * state.FRESH_SECONDS


TORN = [
    b"",
    b'{"nonce": "a", "pl',
    b"\xff\xfe",
    b"[" * 100_000,
    b"9" * 5000,
    b"[]",
    b'{"place": []}',
    b'{"place": {"host": 1, "boot": [], "pid": "1/../1", "born": null}}',
    b'{"place": {"host": "h", "boot": "b", "pid": 1e400, "born": ""}}',
    b'{"pod": "' + b"a" * 100_000 + b'"}',
]


@pytest.mark.parametrize("torn", TORN, ids=range(len(TORN)))
def test_a_torn_claim_is_watched_and_taken_over_like_any_other(store, torn):
    store.create(claim_key(RUN, TRAIN, 1), torn)
    store.create(heartbeat_key(RUN, TRAIN, 1, 1), torn)
    assert state.attempts(store, RUN, TRAIN)[0].code is None
    assert claim(store, RUN, TRAIN, sleep=no_sleep).number == 2


def test_a_claim_that_names_a_file_for_a_process_reads_no_file(store, monkeypatch):
    here = ProcessIdentity.current()
    place = {"host": here.host, "boot": here.boot, "pid": "self/../1", "born": "1"}
    store.create(claim_key(RUN, TRAIN, 1), json.dumps({"place": place}).encode())

    def born(_):
        raise AssertionError("no process is looked at")

    monkeypatch.setattr(attempts, "_born", born)
    assert state.attempts(store, RUN, TRAIN)[0].gone is False


def test_an_ending_keeps_the_first_8000_characters_of_its_message(store):
    with pytest.raises(Interrupted), claim(store, RUN, TRAIN):
        raise Interrupted("x" * 10_000_000)
    (ended,) = state.attempts(store, RUN, TRAIN)
    assert (ended.code, len(ended.message)) == (143, 8000)


def test_a_number_that_no_run_reaches_is_one_sentence_and_not_counted_to(store):
    with pytest.raises(StorageError, match="a number that no run reaches"):
        last_number(lambda _: True, lambda n: claim_key(RUN, TRAIN, n))


def test_of_very_many_attempts_the_newest_are_shown(store):
    for number in range(1, 251):
        store.create(claim_key(RUN, TRAIN, number), b"{}")
    found = state.attempts(store, RUN, TRAIN)
    assert [found[0].number, found[-1].number] == [51, 250]
