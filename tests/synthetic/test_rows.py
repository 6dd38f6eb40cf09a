"""The shipped rows: the same from the same seed, in the published form, without the faults of the real rows."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

from fingpt.synthetic import rows as synthetic
from fingpt.synthetic.text import PRACTICE_COMPANIES, SAMPLE_COMPANIES

HEAD = re.compile(
    r"^From (\S+) to (\S+), (\S+)'s stock price (increased|decreased) from (\S+) to (\S+)\. News",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[synthetic.Row]]:
    return synthetic.sample_rows()


@pytest.fixture(scope="module")
def noise() -> dict[str, list[synthetic.Row]]:
    return synthetic.sample_rows(synthetic.NOISE_SEED, telling=False)


@pytest.mark.parametrize("name", ["sample", "noise"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_shipped_files_hold_just_the_rows_that_the_seed_gives(request, name, split):
    folder = {"sample": synthetic.SAMPLE, "noise": synthetic.NOISE}[name]
    rows = request.getfixturevalue("rows" if name == "sample" else "noise")
    shipped = pq.read_table(folder / f"{split}.parquet")
    assert tuple(shipped.column_names) == synthetic.COLUMNS
    assert {str(field.type) for field in shipped.schema} == {"string"}
    assert shipped.to_pylist() == [row.columns() for row in rows[split]]


def test_written_files_are_small_and_read_back(tmp_path, rows):
    folders = [tmp_path / "one", tmp_path / "two"]
    synthetic.write_sample(*folders)
    for folder in folders:
        files = list(folder.iterdir())
        assert sum(file.stat().st_size for file in files) < 500_000
        assert {file.name for file in files} == {"train.parquet", "test.parquet"}
        assert pq.read_table(folder / "test.parquet").num_rows == len(rows["test"])


def test_another_seed_gives_other_rows(rows):
    assert synthetic.sample_rows(1)["train"][0] != rows["train"][0]


def test_weeks_suffice_for_train_validation_and_a_test_with_embargoes(rows):
    symbols = {row.symbol for row in rows["train"]}
    assert len(symbols) >= 10
    assert symbols == {row.symbol for row in rows["test"]}
    weeks = {split: {row.start for row in part} for split, part in rows.items()}
    assert (len(weeks["train"]), len(weeks["test"])) == (28, 10)
    assert min(weeks["test"]) - max(weeks["train"]) == timedelta(weeks=1 + 4)
    assert len({(row.symbol, row.start) for part in rows.values() for row in part}) == 12 * 38


def test_practice_companies_and_years_never_meet_the_samples():
    assert not {c.name for c in SAMPLE_COMPANIES} & {c.name for c in PRACTICE_COMPANIES}
    symbols = [c.symbol for c in SAMPLE_COMPANIES + PRACTICE_COMPANIES]
    assert len(set(symbols)) == len(symbols)


def test_labels_equal_the_price_heads_that_later_prompts_show(rows):
    checked = 0
    heads = {}
    every = [*rows["train"], *rows["test"]]
    for row in every:
        for start, _, symbol, word, before, after in HEAD.findall(row.user):
            assert symbol == row.symbol
            assert (word == "increased") == (Decimal(after) > Decimal(before))
            heads[symbol, start] = synthetic.label_of(Decimal(before), Decimal(after))
    for row in every:
        known = heads.get((row.symbol, str(row.start)))
        if known is not None:
            checked += 1
            assert row.label == known
    assert checked == 12 * (27 + 9)


def test_prices_run_on_from_week_to_week(rows):
    by_symbol: dict[str, list[tuple[str, ...]]] = {}
    for row in rows["train"]:
        (head,) = HEAD.findall(row.user)
        assert head[1] == str(row.start)
        by_symbol.setdefault(row.symbol, []).append(head)
    for heads in by_symbol.values():
        for first, second in pairwise(heads):
            assert first[1] == second[0]
            assert first[5] == second[4]


@pytest.mark.parametrize(
    ("before", "after", "label"),
    [
        ("100", "100.01", "up by 0-1%"),
        ("100", "101", "up by 0-1%"),
        ("100", "101.01", "up by 1-2%"),
        ("100", "95", "down by 4-5%"),
        ("100", "94.99", "down by more than 5%"),
        ("100", "100", "up by 0-1%"),
    ],
)
def test_bins_include_their_upper_edge(before, after, label):
    assert synthetic.label_of(Decimal(before), Decimal(after)) == label


def test_none_of_the_published_faults_is_planted(rows, noise):
    for row in [row for found in (rows, noise) for part in found.values() for row in part]:
        columns = row.columns()
        text = columns["prompt"] + columns["answer"]
        assert "crypto" not in text.lower()
        assert "market cap" not in text.lower()
        assert not re.search(r"<\||\[/?INST\]|<<", row.user + columns["answer"])
        assert columns["prompt"].startswith("[INST]<<SYS>>\n")
        assert columns["prompt"].endswith("[/INST]")
        quarter = date.fromisoformat(re.findall(r"reported at (\S+),", row.user)[0])
        assert quarter + timedelta(days=60) <= row.start
        headlines = re.findall(r"\[Headline\]: (.+)", row.user)
        assert len(set(headlines)) == len(headlines)


def test_answers_have_the_published_layout_and_their_rows_label(rows):
    layout = re.compile(
        r"\[Positive Developments\]:\n1\. .+\n2\. .+\n\n\[Potential Concerns\]:\n1\. .+\n2\. .+\n\n"
        r"\[Prediction & Analysis\]:\nPrediction: (.+)\nAnalysis: .+"
    )
    for row in [*rows["train"], *rows["test"]]:
        match = layout.fullmatch(row.answer)
        assert match is not None
        assert match[1].lower() == row.label


def told(rows) -> list[bool]:
    """Whether the outlook of each row that has one says the direction of its label."""
    hits = []
    for row in [*rows["train"], *rows["test"]]:
        raised = bool(re.search(r"raises its full-year outlook|Raised outlook", row.user))
        cut = bool(re.search(r"cuts its full-year outlook|Outlook cut", row.user))
        assert not (raised and cut)
        if raised or cut:
            hits.append(raised == row.label.startswith("up"))
    assert 0.85 < len(hits) / len([*rows["train"], *rows["test"]]) < 0.95
    return hits


def test_the_outlook_news_tell_the_direction_of_the_next_week(rows):
    hits = told(rows)
    assert sum(hits) / len(hits) > 0.95


def test_the_outlook_news_of_the_set_without_a_signal_tell_nothing(noise):
    hits = told(noise)
    assert 0.45 < sum(hits) / len(hits) < 0.55


def test_rows_for_practice_hold_no_telling_news():
    table = synthetic.rows_by_company(PRACTICE_COMPANIES, 3, date(2027, 1, 3), 40, telling=False)
    hits = []
    for row in (row for rows in table for row in rows):
        last = row.user[[m.start() for m in HEAD.finditer(row.user)][-1] :]
        if "utlook" in last:
            raised = "raises its full-year" in last or "Raised outlook" in last
            hits.append(raised == row.label.startswith("up"))
    assert 0.4 < sum(hits) / len(hits) < 0.6
