"""How CI runs its parts (.ci/parts), with parts that take no time: order, output, exit codes, what is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# macOS has bash 3, and no user runs these scripts: nothing of the product goes untested there.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="CI runs on Linux, with bash 5.")

ROOT = Path(__file__).parents[2]
TIDY = 'tidy_up() { echo "tidied, $(ls "$scratch" | wc -l) files in scratch"; }\n'


@pytest.fixture
def ci(tmp_path):
    """Runs a list of parts; gives the exit code and all that was said. What it made for itself lies in `tmp_path`."""

    def run(lines: str) -> tuple[int, str]:
        done = subprocess.run(command(lines), env=environment(tmp_path), **PIPES, timeout=60)
        return done.returncode, done.stdout

    return run


PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


def command(lines: str) -> list[str]:
    return ["bash", "-c", f"set -euo pipefail\ncd '{ROOT}'\n. .ci/parts\n{TIDY}{lines}"]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def rows(said: str) -> dict[str, tuple[str, str]]:
    """The table: part → seconds, state."""
    _, _, table = said.rpartition("\npart ")
    found = re.findall(r"^(\S.*?) +(\d+|-)  (.*)$", table, flags=re.MULTILINE)
    return {name: (seconds, state) for name, seconds, state in found}


def test_parts_run_in_order_and_a_table_comes_last(ci, tmp_path):
    code, said = ci(
        'part "one" echo first\npart "two" sleep 1\nleft_out "three" "no reason"\npart "four" true'
    )
    assert code == 0, said
    assert said.index("=== one\nfirst\n") < said.index("=== two\n") < said.index("=== four\n")
    states = {name: state for name, (_, state) in rows(said).items()}
    assert list(states.items()) == [
        ("one", "ok"),
        ("two", "ok"),
        ("three", "left out: no reason"),
        ("four", "ok"),
        ("all", "ok"),
    ]
    assert int(rows(said)["two"][0]) >= 1
    assert "tidied" in said
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_ends_everything_with_its_code(ci, tmp_path):
    code, said = ci('part "one" bash -c "exit 66"\npart "two" echo never')
    assert code == 66
    assert "never" not in said
    assert rows(said)["one"][1] == rows(said)["all"][1] == "failed with 66"
    assert list(tmp_path.iterdir()) == []


def test_a_part_may_be_a_function_and_stops_at_its_first_failure(ci):
    code, said = ci('steps() { echo before; false; echo after; }\npart "steps" steps')
    assert code == 1
    assert "before" in said
    assert "after" not in said


def test_what_is_said_aside_is_printed_whole_when_it_is_joined(ci):
    code, said = ci(
        'lane() { part "a" echo said-a; part "b" sleep 0.6; part "c" echo said-c; }\n'
        'aside lane\npart "here" bash -c "echo x; sleep 0.2; echo y"\njoined lane\npart "end" true'
    )
    assert code == 0, said
    assert "=== here\nx\ny\n=== here: " in said
    whole = said[said.index("lane: what it said") : said.index("lane: end of that")]
    assert "said-a" in whole
    assert "said-c" in whole
    assert rows(said)["c"][1] == "ok, aside"
    assert said.index("lane: end of that") < said.index("=== end")


def test_a_failure_aside_ends_the_part_that_runs_meanwhile(ci, tmp_path):
    begun = time.monotonic()
    code, said = ci(
        'lane() { part "a" true; part "b" bash -c "sleep 0.5; echo alas; exit 69"; part "c" true; }\n'
        'aside lane\npart "here" bash -c "sleep 30"\njoined lane'
    )
    assert code == 69
    assert time.monotonic() - begun < 20
    assert "alas" in said
    states = {name: state for name, (_, state) in rows(said).items()}
    assert states == {
        "a": "ok, aside",
        "b": "failed with 69, aside",
        "here": "stopped",
        "all": "failed with 69",
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pause", [0, 0.5])
def test_a_failure_aside_counts_before_and_while_it_is_joined(ci, pause):
    code, said = ci(
        f'lane() {{ part "a" bash -c "sleep {pause}; exit 65"; }}\naside lane\njoined lane\necho never'
    )
    assert code == 65
    assert "never" not in said
    assert said.count("=== a\n") == 1


def test_a_lane_that_is_killed_is_a_failure(ci):
    code, said = ci('lane() { kill -9 $BASHPID; }\naside lane\njoined lane\npart "end" true')
    assert code == 137
    assert "end" not in rows(said)


@pytest.mark.parametrize("where", ["aside", "here"])
def test_whatever_ends_it_children_of_parts_are_killed(ci, tmp_path, where):
    long = f"bash -c 'sleep 60 & echo $! >{tmp_path}/child; wait'"
    short = f"bash -c 'until [ -s {tmp_path}/child ]; do sleep 0.1; done; exit 70'"
    inside, outside = (long, short) if where == "aside" else (short, long)
    code, said = ci(f'lane() {{ part "a" {inside}; }}\naside lane\npart "here" {outside}')
    assert code == 70, said
    assert gone(int((tmp_path / "child").read_text()))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_tidily(tmp_path, number, code):
    lines = f"part \"here\" bash -c 'sleep 60 & echo $! >{tmp_path}/child; wait'"
    # Where a shell has put the tests in the background, they and their children ignore Ctrl-C.
    words = ["env", "--default-signal=INT", *command(lines)]
    with subprocess.Popen(words, env=environment(tmp_path), **PIPES) as process:
        while not (tmp_path / "child").is_file():
            time.sleep(0.05)
        process.send_signal(number)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == code
    assert rows(said)["here"][1] == "stopped"
    assert "tidied" in said
    assert gone(int((tmp_path / "child").read_text()))
    assert [each.name for each in tmp_path.iterdir()] == ["child"]


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
