from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from fingpt.errors import DataError
from fingpt.models import spec
from fingpt.prompts.chat import load_tokenizer, render, render_all
from fingpt.prompts.examples import encode_jsonl
from fingpt.train.batching import Row
from fingpt.train.tokenised import check_rows, tokenise

SPEC = spec("tiny-llama31")


@pytest.fixture
def data(tmp_path, invent):
    for split, count, offset in (("train", 5, 0), ("validation", 2, 5), ("test", 3, 7)):
        rows = invent.examples(count, offset)
        (tmp_path / f"{split}.jsonl").write_bytes(encode_jsonl(rows))
    return tmp_path


def test_rows_keep_the_order_and_ids_of_their_examples(data, base_folder, invent):
    rows = tokenise(SPEC, base_folder, data, 512)
    assert [row.example for row in rows.train] == [e.id for e in invent.examples(5)]
    assert all(row.answer[-1] == rows.train[0].answer[-1] for row in rows.train)


def test_validation_rows_are_evaluated_where_there_are_any(data, base_folder):
    rows = tokenise(SPEC, base_folder, data, 512)
    assert (rows.eval_split, len(rows.evaluation)) == ("validation", 2)


@pytest.mark.parametrize("validation", [b"", None])
def test_test_rows_are_never_read_even_where_there_is_no_validation(data, base_folder, validation):
    (data / "test.jsonl").write_bytes(b"this is no row\n")
    (data / "validation.jsonl").unlink()
    if validation is not None:
        (data / "validation.jsonl").write_bytes(validation)
    rows = tokenise(SPEC, base_folder, data, 512)
    assert (rows.eval_split, rows.evaluation, len(rows.train)) == ("none", (), 5)


def test_an_empty_train_split_is_refused(data, base_folder):
    (data / "train.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="train split is empty"):
        tokenise(SPEC, base_folder, data, 512)


def test_a_row_that_cannot_fit_is_refused(data, base_folder):
    with pytest.raises(
        DataError, match=r"more than train\.max_tokens leaves beside the answer; raise it"
    ):
        tokenise(SPEC, base_folder, data, 64)


def test_rows_that_are_mostly_answer_are_refused():
    with pytest.raises(DataError, match="prompts of this data set were lost"):
        check_rows((Row("a", (1,), (2, 3)),))


def test_a_row_without_an_answer_is_refused():
    with pytest.raises(DataError, match="no prompt or no answer"):
        check_rows((Row("a", (1, 2, 3), ()),))


def test_rows_that_are_rendered_at_once_are_those_that_are_rendered_one_by_one(base_folder, invent):
    tokenizer, examples = load_tokenizer(base_folder), invent.examples(400)

    def one(example):
        return render(SPEC, tokenizer, example, 512)

    alone = [one(example) for example in examples]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, examples)) == alone
    assert render_all(SPEC, tokenizer, examples, 512) == alone
    assert len({each.prompt_ids for each in alone}) > 1
