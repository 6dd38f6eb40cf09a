"""bench-check: fallen ratios and missing lines fail, what does not compare is refused, a tenth of noise passes."""

from __future__ import annotations

import json

import pytest

from tests.bench.check import main
from tests.bench.lines import alternate, line, table


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """The exit code of bench-check on two benchmarks, given as their ratios or as text, and what it says."""

    def run(before, after):
        for name, given in (("BEFORE", before), ("AFTER", after)):
            path = tmp_path / f"{name}.json"
            path.write_text(given if isinstance(given, str) else json.dumps(given))
            monkeypatch.setenv(f"FINGPT_ARG_{name}", str(path))
        code = main()
        out, err = capsys.readouterr()
        return code, out + err

    return run


def made(ratios, kind="cpu", machine="two-cores"):
    lines = [{"name": name, "ratio": ratio} for name, ratio in ratios.items()]
    return {"benchmark": kind, "machine": {"name": machine}, "lines": lines}


def test_ratios_that_fell_by_a_tenth_or_rose_pass(compare):
    code, said = compare(made({"a": 2.0, "b": 1.0}), made({"a": 1.81, "b": 9.0, "new": 1.0}))
    assert (code, said) == (0, "None of 2 ratios fell by more than a tenth.\n")


def test_every_ratio_that_fell_further_is_a_line(compare):
    code, said = compare(
        made({"a": 2.0, "b": 1.0, "c": 3.0}), made({"a": 1.79, "b": 0.5, "c": 3.0})
    )
    assert code == 1
    assert said == "a: fell from 2.00 to 1.79, -10%\nb: fell from 1.00 to 0.50, -50%\n"


def test_a_line_that_is_missing_fails(compare):
    assert compare(made({"a": 2.0, "b": 1.0}), made({"b": 1.0})) == (1, "a: was 2.00, is missing\n")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"kind": "gpu"}, "different benchmarks, cpu and gpu"),
        ({"machine": "four"}, "two-cores and four"),
    ],
)
def test_another_kind_or_machine_is_refused(compare, other, said):
    code, text = compare(made({"a": 1.0}), made({"a": 1.0}, **other))
    assert code == 64
    assert said in text


@pytest.mark.parametrize("text", ["", "[]", '{"lines": 3}', '{"benchmark": "cpu", "lines": [{}]}'])
def test_what_is_no_benchmark_is_refused(compare, text):
    code, said = compare(made({}), text)
    assert code == 64
    assert "AFTER" in said
    assert "is not the JSON of a benchmark" in said


def test_a_file_that_is_not_named_or_not_there_is_refused(compare, monkeypatch, capsys, tmp_path):
    for value, said in (
        ("", "BEFORE names no benchmark"),
        (str(tmp_path / "no"), "cannot be read"),
    ):
        monkeypatch.setenv("FINGPT_ARG_BEFORE", value)
        monkeypatch.setenv("FINGPT_ARG_AFTER", value)
        assert main() == 64
        assert said in capsys.readouterr().err


def test_a_line_has_medians_and_the_spread_of_its_pairs():
    one = line("x", "rows/s", ([3.0, 1.0, 2.0], [1.0, 1.0, 4.0]), limit=8.0)
    assert (one.ours, one.peer, one.ratio, one.spread) == (2.0, 1.0, 2.0, (0.5, 3.0))
    assert "| x | 2 rows/s | 1 | 2.00 (0.50 to 3.00) | 25% of 8 |" in table([one])


def test_both_are_timed_in_turn():
    turns = []
    ours, peer = alternate(10, lambda: turns.append("ours"), lambda: turns.append("peer"))
    assert turns == ["ours", "peer"] * 3
    assert min(ours + peer) > 0
