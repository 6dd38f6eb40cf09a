"""bench-check: fallen ratios and missing lines fail, what does not compare is refused, a tenth of noise passes."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fingpt.errors import ConfigError
from tests.bench.check import main
from tests.bench.kept import FOLDER
from tests.bench.lines import alternate, disagreement, line, table
from tests.bench.record import read


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """The exit code of bench-check on two benchmarks, given as what is kept or as bytes, and what it says."""

    def run(before, after):
        for name, given in (("BEFORE", before), ("AFTER", after)):
            path = tmp_path / f"{name}.json"
            path.write_bytes(given if isinstance(given, bytes) else json.dumps(given).encode())
            monkeypatch.setenv(f"FINGPT_ARG_{name}", str(path))
        code = main()
        out, err = capsys.readouterr()
        return code, out + err

    return run


def made(ratios, kind="cpu", machine="two-cores"):
    """A benchmark as it is kept, with lines of these ratios."""
    lines = [
        asdict(line(name, "rows/s", ([ratio] * 3, [1.0] * 3))) for name, ratio in ratios.items()
    ]
    return {
        "benchmark": kind,
        "machine": {"name": machine, "cores": "2"},
        "versions": {"torch": "2.13.0"},
        "lines": lines,
        "left_out": [],
    }


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


A = {"a": 2.0}
DEEP = b"[" * 200_000
HUGE = json.dumps(made(A)).replace("2.0", "1" + "0" * 400).encode()


def changed(**values):
    """A benchmark whose one line has these values instead."""
    whole = made(A)
    return {**whole, "lines": [{**whole["lines"][0], **values}]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "is not JSON"),
        (b"[]", "is no JSON object"),
        (b"\xff", "is not UTF-8"),
        (DEEP, "is nested deeper than 64"),
        (HUGE, "holds a number of 401 digits"),
        (b'{"lines": 3}', "is not the JSON of a benchmark (benchmark: field required)"),
        ({**made(A), "benchmark": "speed"}, "(benchmark: input should be 'cpu' or 'gpu')"),
        ({**made(A), "more": 1}, "(more: extra inputs are not permitted)"),
        ({**made(A), "lines": []}, "(lines: list should have at least 1 item"),
        ({**made(A), "lines": made(A)["lines"] * 2}, "it has 2 lines of one name, a)"),
        ({**made(A), "machine": {"cores": "2"}}, "its machine has no name"),
        (changed(ratio=float("nan")), "holds NaN or Infinity"),
        (changed(ratio=float("inf")), "holds NaN or Infinity"),
        (changed(ratio=-2.0), "(lines.0.ratio: input should be greater than 0)"),
        (changed(ratio=0), "(lines.0.ratio: input should be greater than 0)"),
        (changed(ratio="2.0"), "(lines.0.ratio: input should be a valid number)"),
        (changed(ratio=True), "(lines.0.ratio: input should be a valid number)"),
        (changed(ratio=None), "(lines.0.ratio: input should be a valid number)"),
        (changed(peer=0.0), "(lines.0.peer: input should be greater than 0)"),
        (changed(ours=1e308, peer=1e-308), "that of its rates 1e+308 and 1e-308 is inf)"),
        (changed(ours=0.01), "its ratio is 2, but that of its rates 0.01 and 1 is 0.01)"),
        (changed(ours=4.0, ratio=4.0), "its rate 4 is not the median of its repetitions"),
        (changed(spread=[0.5, 9.0]), "are not those of its repetitions"),
        (changed(spread=[3.0, 1.0]), "its least ratio is above its most"),
        (changed(rates={"ours": [2.0], "peer": [1.0, 1.0]}), "its repetitions are no pairs"),
    ],
)
def test_what_is_no_benchmark_is_refused_in_one_sentence_on_either_side(compare, given, said):
    for name, pair in (("AFTER", (made(A), given)), ("BEFORE", (given, made(A)))):
        code, text = compare(*pair)
        assert code == 64
        assert text.startswith(f"{name}=")
        assert said in text
        assert text.endswith(
            "; make bench and make bench-gpu keep such a JSON in docs/benchmarks.\n"
        )
        assert text.count("\n") == 1


def test_no_more_than_a_benchmark_has_is_read_of_an_endless_file(monkeypatch, capsys):
    monkeypatch.setenv("FINGPT_ARG_BEFORE", "/dev/zero")
    assert main() == 64
    assert "BEFORE=/dev/zero has more than 1,048,576 bytes" in capsys.readouterr().err


def test_a_byte_order_mark_is_taken(compare):
    code, said = compare(made(A), b"\xef\xbb\xbf" + json.dumps(made({"a": 1.9})).encode())
    assert (code, said) == (0, "None of 1 ratios fell by more than a tenth.\n")


def test_the_same_benchmark_twice_is_refused(compare):
    code, said = compare(made(A), json.dumps(made(A), indent=4).encode())
    assert code == 64
    assert said == (
        "BEFORE and AFTER are the same benchmark; name that of an earlier run as BEFORE.\n"
    )


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_benchmark_that_is_kept_is_read_or_refused_by_its_kind(path):
    kind = json.loads(path.read_text())["benchmark"]
    if kind in ("cpu", "gpu"):
        assert read("AFTER", str(path)).benchmark == kind
    else:
        with pytest.raises(ConfigError, match=f"is a benchmark of {kind}, which bench-check does"):
            read("AFTER", str(path))


def test_what_was_left_out_is_told_beside_what_is_missing(compare):
    reason = "storage: neither FINGPT_VERSITYGW nor FINGPT_MINIO names a server's program"
    code, said = compare(made({"a": 2.0, "b": 1.0}), {**made({"b": 0.95}), "left_out": [reason]})
    assert (code, said) == (1, f"a: was 2.00, is missing\nAFTER left out {reason}\n")


def test_other_versions_and_parts_of_a_machine_and_pairs_that_disagree_are_noted(compare):
    after = {**made(A), "versions": {"torch": "1.0", "peft": "2"}}
    after["machine"] = {**after["machine"], "driver": "580"}
    after["lines"] = [asdict(line("a", "rows/s", ([2.0, 2.0, 5.0], [1.0, 1.0, 1.0])))]
    code, said = compare(made(A), after)
    assert code == 0
    assert said.splitlines() == [
        "None of 1 ratios fell by more than a tenth.",
        "Note: peft was not told and is 2.",
        "Note: torch was 2.13.0 and is 1.0.",
        "Note: driver was not told and is 580.",
        f"AFTER: {disagreement('a', (2.0, 5.0))}",
    ]


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
