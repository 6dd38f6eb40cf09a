"""Stored answers and losses: made once, verified when read, never mixed between inputs."""

from __future__ import annotations

import pytest

from fingpt.errors import StorageError
from fingpt.eval.chunks import chunk, context_of, decode_chunk, encode_chunk, losses, timing_key
from fingpt.eval.generate import Answer
from fingpt.eval.prompts import Prompt
from tests.eval.invented import example

KEY = "runs/r/eval/predictions/tuned/0000.jsonl"
PROMPTS = [Prompt(example(n), (1, 2), (3,)) for n in range(2)]
CONTEXT = context_of(["adapter"], PROMPTS)


def answers(text: str = "Up") -> list[Answer]:
    return [
        Answer(
            example=prompt.example.id,
            prediction=text,
            prompt_tokens=2,
            new_tokens=3,
            truncated=False,
        )
        for prompt in PROMPTS
    ]


def make(text: str = "Up", seconds: float = 2.0):
    calls = []

    def generate(batch):
        calls.append(len(batch))
        return answers(text), seconds

    return generate, calls


def test_a_chunk_that_is_there_is_not_made_again_and_keeps_its_seconds(store):
    first, _ = make(seconds=2.0)
    again, calls = make(text="Down", seconds=9.0)
    made = chunk(Answer, store, KEY, CONTEXT, PROMPTS, first)
    kept = chunk(Answer, store, KEY, CONTEXT, PROMPTS, again)
    assert calls == []
    assert (made.reused, kept.reused) == (False, True)
    assert (kept.records, kept.seconds, kept.files) == (made.records, 2.0, made.files)


def test_bytes_of_a_chunk_do_not_depend_on_how_long_it_took_or_on_a_resume(store, tmp_path):
    other = type(store)(tmp_path / "other")
    chunk(Answer, store, KEY, CONTEXT, PROMPTS, make(seconds=1.0)[0])
    # An attempt that died between the clock and the answers.
    other.create(timing_key(KEY), store.read(timing_key(KEY)))
    chunk(Answer, other, KEY, CONTEXT, PROMPTS, make(seconds=7.0)[0])
    assert other.read(KEY) == store.read(KEY)


def test_a_chunk_whose_timing_is_lost_is_timed_again_and_keeps_its_records(store, tmp_path):
    chunk(Answer, store, KEY, CONTEXT, PROMPTS, make(seconds=2.0)[0])
    bytes_before = store.read(KEY)
    (tmp_path / "store" / timing_key(KEY)).unlink()
    again, calls = make(seconds=9.0)
    found = chunk(Answer, store, KEY, CONTEXT, PROMPTS, again)
    assert (calls, found.seconds, found.reused) == ([2], 9.0, False)
    assert store.read(KEY) == bytes_before


def test_files_are_named_relative_to_the_eval_prefix(store):
    made = chunk(Answer, store, KEY, CONTEXT, PROMPTS, make()[0])
    assert [file.name for file in made.files] == [
        "predictions/tuned/0000.jsonl",
        "predictions/tuned/0000.timing.json",
    ]


def test_any_flipped_byte_of_a_chunk_is_seen():
    data = encode_chunk(answers(), CONTEXT)
    for place in range(len(data)):
        broken = data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]
        with pytest.raises(StorageError, match="run eval again"):
            decode_chunk(Answer, broken, CONTEXT, KEY)


@pytest.mark.parametrize("cut", [0, 1, 50, -1])
def test_a_chunk_that_is_cut_is_refused(cut):
    with pytest.raises(StorageError):
        decode_chunk(Answer, encode_chunk(answers(), CONTEXT)[:cut], CONTEXT, KEY)


def test_a_chunk_made_from_other_inputs_is_refused(store):
    chunk(Answer, store, KEY, CONTEXT, PROMPTS, make()[0])
    with pytest.raises(StorageError, match="another adapter, base, data set or decoding"):
        chunk(Answer, store, KEY, context_of(["other"], PROMPTS), PROMPTS, make()[0])
    assert context_of(["adapter"], PROMPTS[::-1]) != CONTEXT


def test_losses_are_measured_once_and_verified(store):
    key = "runs/r/eval/losses/base.json"
    made = losses(store, key, "c", lambda: ({"a": 1.5}, {"b": 0.5}))
    kept = losses(store, key, "c", lambda: ({}, {}))
    assert kept == made
    assert (kept.test, kept.train) == ({"a": 1.5}, {"b": 0.5})
    assert kept.files[0].name == "losses/base.json"
    with pytest.raises(StorageError, match="another adapter"):
        losses(store, key, "d", lambda: ({}, {}))


def test_answers_survive_any_text():
    text = 'line\nbreak "quoted" \x00 \u2028 \U0001f600 \\'
    assert (
        decode_chunk(Answer, encode_chunk(answers(text), CONTEXT), CONTEXT, KEY)[0].prediction
        == text
    )
