"""Work shared with processes gives what one process gives, in order, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from fingpt.errors import DataError
from fingpt.models import spec
from fingpt.prompts import chat, workers
from fingpt.prompts.chat import load_tokenizer, render, render_all
from fingpt.prompts.workers import Workers, worker_count
from fingpt.synthetic import tiny

# A worker that doubles numbers and is killed by a 13, whose pid is the first thing it says after READY.
DOUBLING = """
import os, sys
from multiprocessing.connection import Connection

socket = Connection(int(sys.argv[1]))
socket.send("ready")
while True:
    numbers = socket.recv()
    if 13 in numbers:
        os.kill(os.getpid(), 9)
    socket.send([2 * each for each in numbers])
"""
PARTS = [[number, number + 100] for number in range(60)]
DOUBLED = [[2 * each for each in part] for part in PARTS]


def doubled(count: int, parts=PARTS, seconds: float = 0.0, code: str = DOUBLING):
    """What comes of the parts, and those that were worked on by whoever asked, `seconds` each."""
    own = []

    def alone(part):
        own.append(part)
        time.sleep(seconds)
        return [2 * each for each in part]

    with Workers(("-c", code), count) as shared:
        found = list(shared.map(alone, parts, lambda part: part))
    assert count == 0 or shared._server.returncode is not None
    return found, own


def test_without_workers_who_asks_does_all():
    assert doubled(0) == (DOUBLED, PARTS)


def test_a_worker_takes_its_share_and_the_order_stays():
    found, own = doubled(1, seconds=0.02)
    assert found == DOUBLED
    assert 0 < len(own) < len(PARTS)


def test_what_a_dead_worker_leaves_is_done_by_who_asked():
    found, own = doubled(1, seconds=0.02, code=DOUBLING.replace("13 in", "40 in"))
    assert found == DOUBLED
    assert all(part in own for part in PARTS[41:])


def test_workers_that_never_come_cost_no_result(caplog):
    found, own = doubled(3, seconds=0.02, code="raise SystemExit(1)")
    assert (found, own) == (DOUBLED, PARTS)
    assert [each.message for each in caplog.records] == [
        "No process to render rows came to life; this one renders them."
    ]


def test_only_a_few_parts_are_read_ahead():
    read = []

    def parts():
        for part in PARTS:
            read.append(part)
            time.sleep(0.01)
            yield part

    code = DOUBLING.replace("    socket.send(", "    time.sleep(0.3)\n    socket.send(")
    with Workers(("-c", code.replace("import os", "import time, os")), 1) as shared:
        for place, _ in enumerate(shared.map(list, parts(), list)):
            assert len(read) <= place + 2 + workers._AHEAD


@pytest.mark.parametrize("first", [30, 31])
def test_a_failure_is_raised_in_its_turn(first):
    """Parts are taken by turns, so one of the cases has a worker that is slow to fail at the first."""
    wrong = (first, first + 1)

    def alone(part):
        time.sleep(0.02)
        if part[0] in wrong:
            raise DataError(f"{part[0]} is wrong.")
        return part

    code = DOUBLING.replace(
        "if 13 in numbers:", f"if numbers[0] in {wrong}:\n        time.sleep(0.3)"
    )
    with Workers(("-c", code.replace("import os", "import time, os")), 1) as shared:
        found = shared.map(alone, PARTS, lambda part: part)
        assert len(list(islice(found, first))) == first
        with pytest.raises(DataError, match=f"{first} is wrong"):
            next(found)


def test_workers_that_do_not_end_are_ended():
    start = time.monotonic()
    with Workers(("-c", "import time; time.sleep(60)"), 2) as shared:
        pass
    assert time.monotonic() - start < 20
    assert shared._server.returncode == -signal.SIGKILL


def test_workers_end_when_who_asked_is_killed(tmp_path):
    noted = tmp_path / "pid"
    code = f"open({str(noted)!r}, 'w').write(str(__import__('os').getpid()))\n{DOUBLING}"
    asking = (
        "import sys, time\nfrom fingpt.prompts.workers import Workers\n"
        "Workers(('-c', sys.argv[1]), 1)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", asking, code])
    try:
        _until(lambda: noted.is_file() and noted.read_text())
    finally:
        process.kill()
        process.wait()
    worker = int(noted.read_text())
    _until(lambda: _ended(worker))


def _until(true) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return "(zombie)" in Path(f"/proc/{pid}/status").read_text()


def test_few_rows_and_few_cores_need_no_workers(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(workers, "usable_cores", lambda: 16)
    assert [worker_count(rows) for rows in (0, 1530, 3999, 4000)] == [0, 0, 0, 15]
    for cores, expected in ((1, 0), (2, 1), (64, 15)):
        monkeypatch.setattr(workers, "usable_cores", lambda cores=cores: cores)
        assert worker_count(10_000) == expected


def test_the_trainers_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(workers, "usable_cores", lambda: 16)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert worker_count(10_000) == 3


@pytest.fixture(scope="module", params=["tiny-llama31", "tiny-deepseek-r1"])
def model(request, tmp_path_factory):
    """A model, its tokenizer, rows, and how many tokens make the longest of them lose news."""
    found = spec(request.param)
    folder = tmp_path_factory.mktemp("base")
    rows = [tiny._example(row) for row in tiny.practice_rows(tiny.RECIPE)[::4]]
    tiny.build_tokenizer(found, [rows[0].user, rows[0].answer], folder / "tokenizer.json")
    tokenizer = load_tokenizer(folder)
    lengths = [len(render(found, tokenizer, row, 8192).input_ids) for row in rows[:20]]
    return found, tokenizer, rows, max(lengths) - 20


@pytest.fixture
def shared(monkeypatch):
    """Rows of any number are shared with two workers, for which who asks waits; the parts that it did itself."""
    told = []
    alone = chat.render_part

    def slow(*given):
        told.append(given[3])
        time.sleep(0.05)
        return alone(*given)

    monkeypatch.setattr(chat, "worker_count", lambda rows: 2)
    monkeypatch.setattr(chat, "render_part", slow)
    monkeypatch.setattr(chat, "_AT_ONCE", 4)
    return told


def test_rows_that_workers_render_are_those_of_one_process(model, shared, monkeypatch):
    found, tokenizer, rows, most = model
    made = render_all(found, tokenizer, rows, most)
    assert 0 < sum(map(len, shared)) < len(rows)
    monkeypatch.setattr(chat, "worker_count", lambda count: 0)
    assert render_all(found, tokenizer, rows, most) == made
    assert {each.dropped_news > 0 for each in made} == {True, False}


def test_a_row_that_fails_at_a_worker_is_named_as_ever(model, shared):
    found, tokenizer, rows, most = model
    wrong = replace(rows[-1], answer=" ", symbol="ODD")
    with pytest.raises(DataError, match=r"ODD .* has an empty answer"):
        render_all(found, tokenizer, [*rows, wrong, *rows[:40]], most)
    assert sum(map(len, shared)) < len(rows)


def test_a_signal_ends_all_of_it(model, shared):
    found, tokenizer, rows, most = model

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            render_all(found, tokenizer, rows * 20, most)
    finally:
        signal.signal(signal.SIGALRM, before)
    words = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    children = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "fingpt.prompts.worker" not in children
