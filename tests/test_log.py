"""Off a terminal every line is one JSON object."""

import json
import sys

import pytest

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


def test_another_process_s_lines_are_passed_on_with_escapes_shown_and_json_as_json(capsys):
    for line in ('{"event": "x", "n": 1}', '{"event": "\x9bm\u202e"}', "plain \x1b[31m"):
        log.relay(line)
    first, second, third = capsys.readouterr().err.splitlines()
    assert (first, third) == ('{"event": "x", "n": 1}', "plain \\x1b[31m")
    assert second.isascii()
    assert json.loads(second) == {"event": "\x9bm\u202e"}


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("ok\nexit 0: verified", "ok\\nexit 0: verified"),
        ("ok\r\x0b\x0c", "ok\\r\\x0b\\x0c"),
        ("\x9b31m", "\\u009b31m"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\u0085d"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("a\u200bb\ufeffc\u00adc\u3164", "a\\u200bb\\ufeffc\\u00adc\\u3164"),
        ("\U000e0041", "\\udb40\\udc41"),
        ("half \ud800", "half \\ud800"),
        ("Zürich 涨 5 % ≥ 1", "Zürich 涨 5 % ≥ 1"),
        ("[bold]x[/bold]\t1", "[bold]x[/bold]\t1"),
    ],
)
def test_foreign_text_is_one_visible_line(foreign, shown):
    assert log.printable(foreign) == shown
    assert log.cell(foreign).plain == shown


def test_json_for_programs_shows_escapes_and_reads_back(capsys):
    value = {"text": "a\x9b\u202e\U000e0041 涨\n"}
    for text in (log.to_json(value), log.to_json(value, indent=1)):
        assert "\x9b" not in text
        assert "涨" in text
        assert json.loads(text) == value
    log.setup()
    log.error("a \u202e b", key="\x9b")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isascii()
    assert json.loads(line)["event"] == "a \u202e b"


def test_on_a_terminal_an_event_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    log.setup()
    log.error("bad row 'x\n[12:00:00] complete'")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_on_a_terminal_another_process_s_lines_read_as_a_person_reads_them(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    line = {"ts": "2030", "level": "info", "stage": "train", "run": "r", "event": "step", "n": 1}
    for said in (json.dumps(line), '{"event": "no stage"}', "[1]", "plain \x1b[31m"):
        log.relay(said)
    assert capsys.readouterr().err.splitlines() == [
        *("train: step  n=1", "no stage", "[1]", "plain \\x1b[31m")
    ]
