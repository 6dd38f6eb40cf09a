"""Answers of another system: the published numbers on the published answers, and every bad input in one sentence."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError, FingptError, MissingInputError, StorageError
from fingpt.eval import external
from fingpt.eval.external import read_pairs, score_pairs, write_scores
from fingpt.runs.stage import guarded
from fingpt.storage import open_store

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


def read(folder, answers, source):
    scratch = Path(tempfile.mkdtemp(dir=folder))
    return read_pairs(answers, str(source), open_store((folder / "store").as_uri()), scratch)


def pairs_of(folder, answers=ANSWERS, test=TEST):
    given = parquet(folder / "a.parquet", answers)
    return read(folder, given, parquet(folder / "test.parquet", test))


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

    assert guarded(act) == StorageError.exit_code


@pytest.mark.parametrize(
    ("answers", "test", "sentence"),
    [
        ([], TEST, "holds no rows|no column"),
        ([{"symbol": "AAA", "period": "p"}], TEST, "no column 'prediction'"),
        (ANSWERS[:1], TEST, "1 rows of the test rows of .*test.parquet have no answer"),
        (ANSWERS, TEST[:1], "1 rows of .*a.parquet have no test row"),
        ([*ANSWERS, ANSWERS[0]], TEST, "a.parquet: 1 rows stand there more than once, first AAA"),
        (ANSWERS, [*TEST, TEST[1]], "more than once, first BBB"),
        ([ANSWERS[0] | {"symbol": None}, ANSWERS[1]], TEST, "no symbol or no period"),
        (ANSWERS, [TEST[0] | {"label": "flat"}, TEST[1]], "AAA .*none of the twelve labels"),
        (ANSWERS, [TEST[0] | {"label": None}, TEST[1]], "AAA .*none of the twelve labels"),
        (
            [row | {"prediction": ["a"]} for row in ANSWERS],
            TEST,
            "column 'prediction' holds list.*text is expected",
        ),
    ],
)
def test_bad_rows_are_refused_in_one_sentence(tmp_path, answers, test, sentence):
    with pytest.raises(DataError, match=sentence):
        pairs_of(tmp_path, answers, test)


def test_answers_of_more_text_than_is_held_in_memory_are_refused_where_that_is_seen(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(external, "MAX_TABLE_BYTES", len(TEXT) * 3 // 2)
    with pytest.raises(DataError, match="MiB of text at line 2; split it"):
        pairs_of(tmp_path)


def test_a_missing_file_and_a_corrupt_one_are_told_apart(tmp_path):
    test = parquet(tmp_path / "test.parquet", TEST)
    with pytest.raises(MissingInputError, match=r"a\.parquet does not exist"):
        read(tmp_path, tmp_path / "a.parquet", test)
    whole = test.read_bytes()
    for data in (b"", b"PAR1", b"not parquet at all", whole[: len(whole) // 2]):
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(DataError, match="not a readable parquet file"):
            read(tmp_path, tmp_path / "a.parquet", test)


def test_a_folder_of_answers_is_no_file_and_a_command_names_the_file_as_it_was_given(tmp_path):
    test = parquet(tmp_path / "test.parquet", TEST)
    (tmp_path / "my answers").mkdir()
    with pytest.raises(MissingInputError, match="my answers is a folder; name one file"):
        read(tmp_path, tmp_path / "my answers", test)
    path = tmp_path / "my answers/a.json"
    path.write_text(json.dumps(ANSWERS))
    with pytest.raises(DataError) as caught:
        read(tmp_path, path, test)
    assert f"convert it: jq -c '.[]' '{path}' > rows.jsonl" in str(caught.value)


def test_any_flipped_byte_gives_pairs_or_a_sentence(tmp_path):
    test = parquet(tmp_path / "test.parquet", TEST)
    whole = bytearray(parquet(tmp_path / "a.parquet", ANSWERS).read_bytes())
    for place in range(0, len(whole), 7):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        (tmp_path / "a.parquet").write_bytes(broken)
        with suppress(FingptError):
            read(tmp_path, tmp_path / "a.parquet", test)


def test_test_rows_come_from_any_layout_that_a_run_reads_and_answers_may_lie_beside(tmp_path):
    parquet(tmp_path / "one.parquet", TEST)
    rows = [json.dumps(row | {"label": row["label"].upper()}) for row in TEST]
    for place, write in {
        "data/test-00000-of-00001.parquet": lambda path: parquet(path, TEST),
        "test/part-00000-x.jsonl": lambda path: path.write_text("\n".join(rows)),
        "test.csv": lambda path: pacsv.write_csv(pa.Table.from_pylist(TEST), path),
        "rows.parquet": lambda path: parquet(path, TEST),
    }.items():
        folder = tmp_path / place.replace("/", "-")
        (folder / place).parent.mkdir(parents=True)
        write(folder / place)
        answers = parquet(folder / "answers.parquet", ANSWERS)
        if "test" in place:
            parquet(folder / "train.parquet", TEST[:1])
        assert [pair.label for pair in read(tmp_path, answers, folder)] == ["up by 2-3%"] * 2
        assert len(read(tmp_path, answers, folder / place)) == 2


def test_a_test_split_in_two_shards_is_scored_whole_and_a_stray_file_stops(tmp_path):
    answers = parquet(tmp_path / "answers.jsonl.parquet", ANSWERS)
    (tmp_path / "rows").mkdir()
    for number, row in enumerate(TEST):
        parquet(tmp_path / f"rows/test-0000{number}-of-00002.parquet", [row])
    assert len(read(tmp_path, answers, tmp_path / "rows")) == 2
    parquet(tmp_path / "rows/more.parquet", TEST)
    with pytest.raises(DataError, match=r"not be read: more\.parquet"):
        read(tmp_path, answers, tmp_path / "rows")


def test_answers_are_read_from_text_files_too_and_time_stamps_match_dates(tmp_path):
    test = parquet(tmp_path / "test.parquet", TEST)
    given = [row | {"period": "2024-01-07 00:00:00 to 2024-01-14T00:00:00Z"} for row in ANSWERS]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\r\n" for row in given), encoding="utf-8-sig")
    assert [pair.prediction for pair in read(tmp_path, path, test)] == [TEXT, TEXT]
    path.write_text(json.dumps(given[0]), encoding="utf-16")
    with pytest.raises(DataError, match=r"answers\.jsonl is UTF-16"):
        read(tmp_path, path, test)


def test_a_folder_without_test_rows_says_so(tmp_path):
    answers = parquet(tmp_path / "a.parquet", ANSWERS)
    (tmp_path / "rows").mkdir()
    parquet(tmp_path / "rows/train.parquet", TEST)
    with pytest.raises(MissingInputError, match=r"holds no test rows, only train\.parquet"):
        read(tmp_path, answers, tmp_path / "rows")
