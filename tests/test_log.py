"""Off a terminal every line is one JSON object."""

import json
import sys

from fingpt import log


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_a_json_line_with_its_identity(capsys):
    log.setup(stage="prep", run="r-1")
    log.event("step", loss=1.5, text="a\nb")
    (line,) = lines(capsys)
    assert (line["stage"], line["run"], line["event"]) == ("prep", "r-1", "step")
    assert (line["loss"], line["text"]) == (1.5, "a\nb")


def test_progress_says_at_most_ten_lines_and_always_the_last(capsys):
    log.setup()
    with log.progress("rows", 1000) as meter:
        for _ in range(1000):
            meter.advance()
    said = lines(capsys)
    assert len(said) == 10
    assert said[-1]["done"] == said[-1]["total"] == 1000


def test_another_process_s_lines_are_passed_on_as_they_are(capsys):
    for line in ('{"event": "x", "n": 1}', "plain \x1b[31m"):
        log.relay(line)
    assert capsys.readouterr().err == '{"event": "x", "n": 1}\nplain \x1b[31m\n'


def test_on_a_terminal_another_process_s_lines_read_as_a_person_reads_them(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = {"ts": "2030", "level": "info", "stage": "train", "run": "r", "event": "step", "n": 1}
    for said in (json.dumps(line), '{"event": "no stage"}', "[1]", "plain \x1b[31m"):
        log.relay(said)
    assert capsys.readouterr().err.splitlines() == [
        *("train: step  n=1", "no stage", "[1]", "plain \\x1b[31m")
    ]
