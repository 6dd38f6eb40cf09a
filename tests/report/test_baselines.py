"""Baselines: the published table on the real rows, and exact expectations on made-up ones."""

from __future__ import annotations

import numpy as np
import pytest

from fingpt.prompts.examples import Example
from fingpt.report.baselines import baselines, last_move, score
from fingpt.report.stats import WeekBootstrap

# predictor → accuracy, MSE on the 300 published test rows.
PUBLISHED = {
    "always-down": (0.543, 7.10),
    "always-up": (0.457, 7.63),
    "zero": (None, 7.12),
    "coin": (0.500, 7.37),
    "persistence-sign": (0.507, 7.34),
    "persistence-bin": (0.507, 13.86),
    "reversal-sign": (0.493, 7.39),
    "reversal-bin": (0.493, 14.55),
    "oracle-market": (0.657, 6.55),
}


def example(user="", label="up by 0-1%", week="2030-01-06"):
    end = f"{week[:-2]}{int(week[-2:]) + 7:02d}"
    return Example("", user, "", "S", f"{week} to {end}", label, "", "")


def head(before, after, end="2030-01-06"):
    return f"From 2029-12-30 to {end}, S's stock price moved from {before} to {after}. News follow."


def test_real_rows_give_the_published_baselines(real_data):
    table = (
        pytest.importorskip("pyarrow.parquet").read_table(real_data / "test.parquet").to_pylist()
    )
    rows = [
        Example(
            "",
            r["prompt"],
            r["answer"],
            r["symbol"],
            r["period"],
            r["label"],
            r["prompt"],
            r["answer"],
        )
        for r in table
    ]
    found = {b.key: b for b in baselines(rows, [])}
    for key, (accuracy, mse) in PUBLISHED.items():
        assert found[key].squared_error.mean() == pytest.approx(mse, abs=0.005), key
        if accuracy is not None:
            assert found[key].correct.mean() == pytest.approx(accuracy, abs=0.0005), key
    # The published draw was simulated (0.502 ± 0.029, 14.10); ours is its expectation.
    assert found["label-draw"].correct.mean() == pytest.approx(0.502, abs=0.005)
    assert found["label-draw"].squared_error.mean() == pytest.approx(14.10, abs=0.05)


@pytest.mark.parametrize(
    ("before", "after", "move"),
    [
        ("100.00", "100.50", 0.5),
        ("100.00", "101.00", 0.5),  # exactly 1 % is still the first bin
        ("100.00", "101.01", 1.5),
        ("100.00", "99.00", -0.5),
        ("100.00", "93.00", -5.5),
        ("100.00", "120.00", 5.5),
        ("100.00", "100.00", 0.5),
    ],
)
def test_last_move_follows_the_published_bins(before, after, move):
    assert last_move(example(head(before, after))) == move


def test_last_move_takes_the_newest_week_and_none_without_a_head():
    old, new = head("100.00", "90.00", "2029-12-30"), head("90.00", "91.00")
    assert last_move(example(f"{new}\n\n{old}")) == 1.5
    assert last_move(example("no prices here")) is None
    assert last_move(example(head("0.00", "1.00"))) is None


def test_random_baselines_are_the_mean_over_all_draws(examples):
    found = {b.key: b for b in baselines(examples, [])}
    truth = np.array([row.margin for row in examples])
    pairs = np.subtract.outer(truth, truth) ** 2
    assert found["label-draw"].squared_error == pytest.approx(pairs.mean(axis=1))
    same = np.equal.outer(np.sign(truth), np.sign(truth))
    assert found["label-draw"].correct == pytest.approx(same.mean(axis=1))


def test_rows_without_a_past_price_are_wrong_and_forecast_nothing():
    rows = [example("nothing", "up by 2-3%")]
    found = {b.key: b for b in baselines(rows, [])}
    assert found["persistence-bin"].correct.tolist() == [0]
    assert found["persistence-bin"].squared_error.tolist() == [2.5**2]


def test_majority_and_mean_come_from_train_and_the_oracle_is_no_rival(examples):
    train = [example(label="down by 2-3%")] * 3 + [example()]
    found = {b.key: b for b in baselines(examples, train)}
    assert "down by 2-3%" in found["train-majority"].title
    truth = np.array([row.margin for row in examples])
    assert found["train-mean"].squared_error == pytest.approx((truth + 1.75) ** 2)
    often = {"down by 2-3%": 4 / 16, "up by 0-1%": 2 / 16}  # one added to each of twelve counts
    wanted = [-np.log(often.get(row.label, 1 / 16)) for row in examples]
    assert found["train-mean"].log_loss == pytest.approx(wanted)
    assert found["uniform"].log_loss == pytest.approx(np.log(12))
    assert [key for key, b in found.items() if not b.trivial] == ["oracle-market"]
    rivals = [b.correct.mean() for b in found.values() if b.trivial and b.correct is not None]
    assert found["oracle-market"].correct.mean() > max(rivals)


def test_only_what_tells_stocks_apart_can_be_right_against_the_weeks_mean(examples):
    found = baselines(examples, [])
    for baseline in found:
        if baseline.key.startswith(("persistence", "reversal")):
            assert 0 < baseline.relative.mean() < 1
            assert set(baseline.relative) <= {0.0, 0.5, 1.0}
        else:
            assert set(baseline.relative) == {0.5}, baseline.key


def test_a_scored_baseline_has_an_interval_and_zero_has_no_direction(examples):
    found = {b.key: b for b in baselines(examples, [])}
    bootstrap = WeekBootstrap([row.start.isoformat() for row in examples])
    zero = score(found["zero"], bootstrap, np.ones(len(examples), dtype=bool))
    assert zero.accuracy is None
    assert zero.mse.low < zero.mse.value < zero.mse.high
