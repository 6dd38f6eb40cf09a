"""Answers of another system: the published numbers on the published answers, and every bad input in one sentence."""

from __future__ import annotations

import json
from contextlib import suppress

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError, FingptError, MissingInputError, StorageError
from fingpt.eval import external
from fingpt.eval.external import read_pairs, score_pairs, write_scores
from fingpt.runs.stage import guarded

TEXT = (
    "[Positive Developments]:\n1. a\n\n[Potential Concerns]:\n1. b\n\n"
    "[Prediction & Analysis]:\nPrediction: Up by 2-3%\nAnalysis: c"
)
TEST = [
    {
        "symbol": s,
        "period": "2024-01-07 to 2024-01-14",
        "answer": TEXT,
        "label": "up by 2-3%",
        "prompt": "",
    }
    for s in ("AAA", "BBB")
]
ANSWERS = [{key: row[key] for key in ("symbol", "period")} | {"prediction": TEXT} for row in TEST]


def parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def pairs_of(folder, answers=ANSWERS, test=TEST):
    return read_pairs(
        parquet(folder / "a.parquet", answers), parquet(folder / "test.parquet", test)
    )


def test_answers_are_matched_by_symbol_and_period_and_not_by_order(tmp_path):
    shuffled = [ANSWERS[1] | {"prediction": "mine"}, ANSWERS[0]]
    assert [pair.prediction for pair in pairs_of(tmp_path, shuffled)] == [TEXT, "mine"]


def test_a_missing_prediction_is_an_answer_that_no_parser_reads(tmp_path):
    pairs = pairs_of(tmp_path, [ANSWERS[0], ANSWERS[1] | {"prediction": None}])
    scores = score_pairs(pairs, tmp_path)
    assert scores["robust"]["failures"] == {"empty answer": 1}


def test_scores_have_the_same_keys_whether_or_not_anything_parses(tmp_path):
    scores = score_pairs(
        pairs_of(tmp_path, [row | {"prediction": ""} for row in ANSWERS]), tmp_path
    )
    for name in ("strict", "strict_without_reasoning", "robust"):
        assert {"n", "parsed", "valid", "binary_accuracy", "mse", "rouge", "failures"} <= set(
            scores[name]
        )
        assert scores[name]["rouge"]["pros"] == {"rouge1": None, "rouge2": None, "rougeL": None}


def test_scores_are_written_whole_and_replace_earlier_ones(tmp_path):
    write_scores({"strict": {"n": 1}}, tmp_path / "new")
    path = write_scores({"strict": {"n": 2}}, tmp_path / "new")
    assert json.loads(path.read_text()) == {"strict": {"n": 2}}
    assert [entry.name for entry in path.parent.iterdir()] == ["scores.json"]


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(external.Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_scores({}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_ends_with_its_exit_code(tmp_path):
    (tmp_path / "file").write_text("")

    def act():
        write_scores({}, tmp_path / "file" / "out")

    assert guarded(act, debug=False) == StorageError.exit_code


@pytest.mark.parametrize(
    ("answers", "test", "sentence"),
    [
        ([], TEST, "holds no rows|no column"),
        ([{"symbol": "AAA", "period": "p"}], TEST, "no column 'prediction'"),
        (ANSWERS[:1], TEST, "1 rows of .*test.parquet have no answer"),
        (ANSWERS, TEST[:1], "1 rows of .*a.parquet have no row"),
        ([*ANSWERS, ANSWERS[0]], TEST, "more than once, first AAA"),
        (ANSWERS, [*TEST, TEST[1]], "more than once, first BBB"),
        ([ANSWERS[0] | {"symbol": None}, ANSWERS[1]], TEST, "no symbol or no period"),
        (ANSWERS, [TEST[0] | {"label": "flat"}, TEST[1]], "AAA .*none of the twelve labels"),
        (ANSWERS, [TEST[0] | {"label": None}, TEST[1]], "AAA .*none of the twelve labels"),
        (
            [row | {"prediction": ["a"]} for row in ANSWERS],
            TEST,
            "cannot be read as Parquet with text",
        ),
    ],
)
def test_bad_rows_are_refused_in_one_sentence(tmp_path, answers, test, sentence):
    with pytest.raises(DataError, match=sentence):
        pairs_of(tmp_path, answers, test)


def test_a_missing_file_and_a_corrupt_one_are_told_apart(tmp_path):
    test = parquet(tmp_path / "test.parquet", TEST)
    with pytest.raises(MissingInputError, match=r"a\.parquet does not exist"):
        read_pairs(tmp_path / "a.parquet", test)
    whole = test.read_bytes()
    for data in (b"", b"PAR1", b"not parquet at all", whole[: len(whole) // 2]):
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            read_pairs(tmp_path / "a.parquet", test)


def test_any_flipped_byte_gives_pairs_or_a_sentence(tmp_path):
    test = parquet(tmp_path / "test.parquet", TEST)
    whole = bytearray(parquet(tmp_path / "a.parquet", ANSWERS).read_bytes())
    for place in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        (tmp_path / "a.parquet").write_bytes(broken)
        with suppress(FingptError):
            read_pairs(tmp_path / "a.parquet", test)
