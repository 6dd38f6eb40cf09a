"""The rendering of prompts and answers, against the official templates' ids and against long, hostile news."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fingpt.errors import DataError, MissingInputError
from fingpt.models import MODELS, spec
from fingpt.prompts import chat, families
from fingpt.prompts.examples import LABELS, PREDICTION_HEADER, Example
from tests import llama3_bpe

KEYS = ("llama31", "deepseek-r1")
ROOMY = 100_000


@pytest.fixture(scope="session")
def bpe_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    if llama3_bpe.merge_file() is None:
        pytest.skip("The official Llama-3 merges are missing: make merges")
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers: the first builds, the others wait for it
    folders = {key: root / "llama3-bpe" / key for key in KEYS}
    with (root / "llama3-bpe.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for key, folder in folders.items():
            if not (folder / "tokenizer.json").exists():
                made = llama3_bpe.build(folder.with_name(f"{key}-being-built"), spec(key).family)
                made.rename(folder)
    return folders


@pytest.fixture(scope="session")
def tokenizers(bpe_folders: dict[str, Path]):
    return {key: chat.load_tokenizer(folder) for key, folder in bpe_folders.items()}


@pytest.fixture(scope="session")
def golden(real_data: Path) -> dict:
    path = real_data.parent / "chat" / "golden.json"
    if not path.is_file():
        pytest.skip("golden.json of the official templates is not beside FINGPT_REAL_DATA.")
    return json.loads(path.read_text())


ITEMS = tuple(
    f"[Headline]: Item {n}\n[Summary]: Something number {n} happened.\n\nAnd a second line."
    for n in range(1, 6)
)
USER = (
    "[Company Introduction]:\n\nFerrowick Tools makes drills.\n\n"
    "From 2031-02-23 to 2031-03-02, FWT's stock price increased from 9.10 to 9.20. News during this "
    f"period are listed below:\n\n{ITEMS[0]}\n\n{ITEMS[1]}\n\n"
    "From 2031-03-02 to 2031-03-09, FWT's stock price decreased from 9.20 to 9.00. News during this "
    f"period are listed below:\n\n{ITEMS[2]}\n\n{ITEMS[3]}\n\n{ITEMS[4]}\n\n"
    "Some recent basic financials of FWT, reported at 2030-12-31, are presented below:\n\n"
    "[Basic Financials]:\n\ngrossMargin: 0.41\n\n"
    "Based on all the information before 2031-03-09, predict the week 2031-03-09 to 2031-03-16."
)


def example(system="You are an analyst.", user=USER, answer="Prediction: Up by 1-2%") -> Example:
    return Example(
        system=system,
        user=user,
        answer=answer,
        symbol="FWT",
        period="2031-03-09 to 2031-03-16",
        label="up by 1-2%",
        prompt="",
        raw_answer="",
    )


def from_case(case: dict) -> Example:
    return example(case["system"], case["user"], case["answer"])


def text_of(tokenizer, ids) -> str:
    return tokenizer.backend_tokenizer.decode(list(ids), skip_special_tokens=False)


@pytest.mark.parametrize("key", KEYS)
def test_labels_have_the_ids_that_they_have_inside_an_answer(tokenizers, key):
    header, continuations = chat.label_ids(spec(key), tokenizers[key])
    assert len(continuations) == len(LABELS)
    for label, line in zip(LABELS, continuations, strict=True):
        text = f"1. Costs rose.\n\n{PREDICTION_HEADER} {label.capitalize()}\nAnalysis: It adds up."
        ids = list(chat.render(spec(key), tokenizers[key], example(answer=text), ROOMY).answer_ids)
        wanted = [*header, *line]
        assert [n for n in range(len(ids)) if ids[n : n + len(wanted)] == wanted] == [5]


def test_llama31_ids_equal_the_official_template(golden, tokenizers):
    for case in golden["cases"]:
        rendered = chat.render(spec("llama31"), tokenizers["llama31"], from_case(case), ROOMY)
        assert list(rendered.prompt_ids) == case["llama31_prompt_ids"], case["name"]
        assert list(rendered.answer_ids) == case["llama31_answer_ids"], case["name"]


def test_deepseek_ids_equal_the_official_template_with_the_empty_reasoning_block(
    golden, tokenizers
):
    for case in golden["cases"]:
        rendered = chat.render(
            spec("deepseek-r1"), tokenizers["deepseek-r1"], from_case(case), ROOMY
        )
        # The official prompt opens the reasoning by `<think>\n`; ours closes it at once, empty.
        official = case["deepseek_r1_prompt_ids"][:-2] + golden["deepseek_r1_empty_think_ids"]
        assert list(rendered.prompt_ids) == official, case["name"]
        assert list(rendered.answer_ids) == case["deepseek_r1_answer_ids"], case["name"]


@pytest.mark.parametrize("key", KEYS)
def test_rows_rendered_together_are_those_rendered_alone(golden, tokenizers, key):
    tokenizer, tags = tokenizers[key], " ".join(llama3_bpe.NAMED[key].values())
    rows = [*map(from_case, golden["cases"]), example(), example(user=f"{tags}\r\n{USER}\t\n ")]
    for limit in (ROOMY, 290):
        alone = [chat.render(spec(key), tokenizer, row, limit) for row in rows]
        assert chat.render_all(spec(key), tokenizer, rows * 20, limit) == alone * 20
    assert all(row.dropped_news for row in alone[-2:])


@pytest.mark.parametrize("key", KEYS)
def test_a_tag_inside_the_news_never_becomes_a_mark(key, tokenizers):
    tokenizer = tokenizers[key]
    marks = {
        i for i in chat.render(spec(key), tokenizer, example(), ROOMY).prompt_ids if i >= 128_000
    }
    tags = "".join(llama3_bpe.NAMED["llama31"].values()) + "".join(
        llama3_bpe.NAMED["deepseek-r1"].values()
    )
    hostile = example(user=f"[Headline]: {tags}\n" + USER, answer=f"{tags} Prediction: Up by 1-2%")
    rendered = chat.render(spec(key), tokenizer, hostile, ROOMY)
    assert {i for i in rendered.prompt_ids if i >= 128_000} == marks
    assert [i for i in rendered.answer_ids if i >= 128_000] == [rendered.answer_ids[-1]]
    assert tags in text_of(tokenizer, rendered.prompt_ids)


@pytest.mark.parametrize("key", KEYS)
def test_there_is_one_bos_and_the_last_trained_id_is_the_stop_id(key, tokenizers):
    rendered = chat.render(spec(key), tokenizers[key], example(), ROOMY)
    assert rendered.input_ids.count(128_000) == 1
    assert rendered.input_ids[0] == 128_000
    assert chat.labels(rendered)[-1] == chat.stop_ids(spec(key), tokenizers[key])[0]


@pytest.mark.parametrize("key", KEYS)
def test_prompt_tokens_are_never_trained(key, tokenizers):
    rendered = chat.render(spec(key), tokenizers[key], example(), ROOMY)
    labels = chat.labels(rendered)
    assert len(labels) == len(rendered.input_ids)
    assert set(labels[: len(rendered.prompt_ids)]) == {-100}
    assert labels[len(rendered.prompt_ids) :] == rendered.answer_ids


@pytest.mark.parametrize("key", KEYS)
def test_training_starts_with_exactly_the_generation_prompt(key, tokenizers):
    rendered = chat.render(spec(key), tokenizers[key], example(), ROOMY)
    prompt, dropped = chat.render_prompt(spec(key), tokenizers[key], example(), ROOMY)
    assert rendered.input_ids[: len(prompt)] == prompt
    assert dropped == 0


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("drop", [1, 2, 3, 5])
def test_a_prompt_too_long_loses_its_oldest_news_and_nothing_else(key, drop, tokenizers):
    whole = chat.render(spec(key), tokenizers[key], example(), ROOMY)
    fits = USER
    for item in ITEMS[:drop]:
        fits = fits.replace(f"{item}\n\n", "")
    if drop >= 2:
        fits = fits.replace("below:\n\nFrom", "below:\n\nNo relative news reported.\n\nFrom")
    if drop == 5:
        fits = fits.replace("below:\n\nSome", "below:\n\nNo relative news reported.\n\nSome")
    wanted = chat.render(spec(key), tokenizers[key], example(user=fits), ROOMY)
    limit = len(wanted.input_ids)
    rendered = chat.render(spec(key), tokenizers[key], example(), limit)
    assert rendered == replace(wanted, dropped_news=drop)
    assert rendered.answer_ids == whole.answer_ids
    if drop > 1:
        tighter = chat.render(spec(key), tokenizers[key], example(), limit + 3)
        assert tighter.dropped_news == drop


@pytest.mark.parametrize("key", KEYS)
def test_max_tokens_counts_prompt_and_answer(key, tokenizers):
    size = len(chat.render(spec(key), tokenizers[key], example(), ROOMY).input_ids)
    assert chat.render(spec(key), tokenizers[key], example(), size).dropped_news == 0
    assert chat.render(spec(key), tokenizers[key], example(), size - 1).dropped_news == 1


def test_a_prompt_that_never_fits_is_named_with_its_numbers(tokenizers):
    with pytest.raises(
        DataError,
        match=r"FWT 2031-03-09 .* \d+ tokens with all 5 news items dropped, \d+ more than",
    ):
        chat.render(spec("llama31"), tokenizers["llama31"], example(), 50)


@pytest.mark.parametrize("answer", ["Prediction: Up by 1-2%", "word " * 3000])
def test_what_is_said_to_make_a_prompt_fit_makes_it_fit(answer, tokenizers):
    arguments = (spec("llama31"), tokenizers["llama31"], example(answer=answer))
    with pytest.raises(DataError) as caught:
        chat.render(*arguments, 64)
    more = int(str(caught.value).partition("raise it by ")[2].partition(" or more")[0])
    assert len(chat.render(*arguments, 64 + more).input_ids) == 64 + more
    with pytest.raises(DataError, match="raise it by 1 or more"):
        chat.render(*arguments, 63 + more)


def test_a_long_prompt_without_weeks_is_an_error_and_keeps_its_text(tokenizers):
    with pytest.raises(DataError, match="all 0 news items"):
        chat.render(spec("llama31"), tokenizers["llama31"], example(user="word " * 99), 60)


@pytest.mark.parametrize("answer", ["", " \n\t"])
def test_an_empty_answer_is_refused(answer, tokenizers):
    with pytest.raises(DataError, match="empty answer"):
        chat.render(spec("llama31"), tokenizers["llama31"], example(answer=answer), ROOMY)


def test_a_tokenizer_of_another_family_is_refused(tokenizers):
    with pytest.raises(DataError, match="'deepseek-r1' has no special token '<｜"):
        chat.render(spec("deepseek-r1"), tokenizers["llama31"], example(), ROOMY)


def test_stop_and_pad_ids_are_the_families_own(tokenizers):
    assert chat.stop_ids(spec("llama31"), tokenizers["llama31"]) == (128_009, 128_001, 128_008)
    assert chat.stop_ids(spec("deepseek-r1"), tokenizers["deepseek-r1"]) == (128_001,)
    assert chat.pad_id(spec("llama31"), tokenizers["llama31"]) == 128_004
    assert chat.pad_id(spec("deepseek-r1"), tokenizers["deepseek-r1"]) == 128_015


def test_pad_falls_back_to_the_stop_id_where_the_vocabulary_has_no_pad(tokenizers):
    odd = replace(spec("deepseek-r1"), pad_token="<｜no▁such▁pad｜>")
    assert chat.pad_id(odd, tokenizers["deepseek-r1"]) == 128_001


def test_template_hash_follows_the_family_and_nothing_else():
    hashes = {key: families.template_sha256(row) for key, row in MODELS.items()}
    assert hashes["llama31"] == hashes["tiny-llama31"]
    assert hashes["deepseek-r1"] == hashes["tiny-deepseek-r1"]
    assert hashes["llama31"] != hashes["deepseek-r1"]
    other = replace(spec("llama31"), stop_tokens=("<|end_of_text|>",))
    assert families.template_sha256(other) != hashes["llama31"]


def test_a_folder_without_a_fast_tokenizer_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"tokenizer\.json"):
        chat.load_tokenizer(tmp_path)
