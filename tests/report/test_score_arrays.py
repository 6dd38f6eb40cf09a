"""The report's scores are eval's: one table, one meaning of `valid`, the same figures on both sides."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingpt.errors import DataError
from fingpt.eval.generate import Answer
from fingpt.eval.metric_modules import MetricModules
from fingpt.eval.prompts import Prompt
from fingpt.eval.score import Pair, score_robust, score_strict, summarise
from fingpt.eval.scores_parquet import Prose, ScoredAnswer, encode_scores
from fingpt.eval.text import PromptNumbers, text_facts
from fingpt.report.compose import _bins
from fingpt.report.measures import ACCURACY, ACCURACY_READ, MSE, MSE_READ
from fingpt.report.score_arrays import read_scores
from tests.eval.invented import answer, example

# With a size, with a direction alone, flat, with a preamble that only `robust` reads, and one that no parser reads.
ANSWERS = [
    answer("Up", "1-2%"),
    answer().replace("Up by 2-3%", "Down"),
    answer().replace("Up by 2-3%", "Unchanged"),
    "Sure! " + answer("Up", "1-2%"),
    "I do not know.",
] * 4


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """What eval says of ANSWERS in its manifest, and its scores.parquet."""
    metrics = MetricModules(tmp_path_factory.mktemp("metrics"))
    prompts = [Prompt(example(number), (1,), (2, 3)) for number in range(len(ANSWERS))]
    pairs = [
        Pair(text, prompt.example.raw_answer, prompt.example.label)
        for text, prompt in zip(ANSWERS, prompts, strict=True)
    ]
    strict = score_strict(pairs=pairs, metrics=metrics)
    robust = score_robust(pairs=pairs, metrics=metrics)
    rows = [
        ScoredAnswer(
            variant="tuned",
            prompt=prompt,
            nll=1.0,
            prose=Prose(
                Answer(
                    example=prompt.example.id,
                    prediction=pair.prediction,
                    prompt_tokens=1,
                    new_tokens=1,
                    truncated=False,
                ),
                seconds=1.0,
                strict=one,
                robust=other,
                text=text_facts(pair.prediction, PromptNumbers(prompt.example.user)),
            ),
        )
        for prompt, pair, one, other in zip(prompts, pairs, strict, robust, strict=True)
    ]
    scores = {"strict_": strict, "": robust}
    manifest = {name: summarise(pairs=its, metrics=metrics) for name, its in scores.items()}
    return manifest, encode_scores(rows)


def test_answers_without_a_size_get_the_same_figures_from_eval_and_from_the_report(evaluated):
    manifests, table = evaluated
    manifest = manifests[""]
    scores = read_scores(table, "scores.parquet")["tuned"]
    read, right = ACCURACY_READ.of(scores), ACCURACY.of(scores)
    assert (right.n, read.n) == (manifest.n, manifest.valid) == (20, 16)
    assert read.value == manifest.binary_accuracy
    assert right.value == manifest.accuracy_all
    assert MSE_READ.of(scores).value == manifest.mse
    assert MSE.of(scores).value == manifest.mse_all


def test_each_parser_has_a_column_of_what_is_valid(evaluated):
    manifests, table = evaluated
    columns = pq.read_table(io.BytesIO(table))
    counts = {name: sum(columns.column(f"{name}valid").to_pylist()) for name in manifests}
    assert counts == {name: its.valid for name, its in manifests.items()} == {"strict_": 12, "": 16}


def test_a_direction_without_a_size_has_a_row_of_its_own_among_the_forecasts(evaluated):
    _, table = evaluated
    scores = read_scores(table, "scores.parquet")["tuned"]
    counts: dict[str, int] = {}
    for cell in _bins(SimpleNamespace(title="m", tuned=scores)):
        counts[cell.forecast] = counts.get(cell.forecast, 0) + cell.rows
    assert counts == {
        "up by 1-2%": 8,
        "down without a size": 4,
        "no change": 4,
        "not read": 4,
    }


def with_labels(table, cells):
    columns = pq.read_table(io.BytesIO(table)).drop_columns(["label_logp"])
    sink = io.BytesIO()
    pq.write_table(columns.append_column("label_logp", pa.array(cells)), sink)
    return sink.getvalue()


def test_label_probabilities_come_in_the_order_of_the_examples(evaluated):
    _, table = evaluated
    names = pq.read_table(io.BytesIO(table)).column("example").to_pylist()
    cells = [[float(place * 100 + label) for label in range(12)] for place in range(len(names))]
    scores = read_scores(with_labels(table, cells), "scores.parquet")["tuned"]
    assert scores.label_logp is not None
    assert scores.label_logp.shape == (20, 12)
    assert [names[int(row[0]) // 100] for row in scores.label_logp] == list(scores.example)
    assert scores.asked.tolist() == [1.0] * 20


def test_a_table_from_before_there_were_label_probabilities_is_read_and_has_none(evaluated):
    _, table = evaluated
    old = pq.read_table(io.BytesIO(table)).drop_columns(["label_logp"])
    sink = io.BytesIO()
    pq.write_table(old, sink)
    for data in (table, sink.getvalue()):
        assert read_scores(data, "scores.parquet")["tuned"].label_logp is None


@pytest.mark.parametrize("cell", [[0.0] * 11, None, [0.0] * 11 + [None], [float("nan")] * 12])
def test_label_probabilities_that_are_not_twelve_finite_numbers_are_refused(evaluated, cell):
    _, table = evaluated
    cells = [[0.0] * 12] * 19 + [cell]
    with pytest.raises(DataError, match=r"column label_logp, does not hold 12 numbers"):
        read_scores(with_labels(table, cells), "scores.parquet")
