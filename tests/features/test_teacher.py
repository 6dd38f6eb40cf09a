"""A teacher on loopback that speaks the protocol of chat completions: asked once for each row, kept, and judged."""

from __future__ import annotations

import json
from datetime import date

import pytest
from pydantic import SecretStr

from fingpt.errors import ConfigError, DataError, PermissionDeniedError, TransientError
from fingpt.features.config import AnswerConfig, FeatureConfig
from fingpt.features.facts import facts
from fingpt.features.rows import Left, Rejected, Row, rows_of
from fingpt.features.teacher import TRIES, Teacher, request_body
from fingpt.sources.calendar import as_of
from tests.features.chat_server import DOWN, UP, Said, chat, served

KEY = SecretStr("sk-invented-0123456789")
AT = as_of(date(2025, 5, 16))


@pytest.fixture(scope="module")
def known(market):
    return facts(market, "AAA", AT, FeatureConfig())


def teacher(store, address, slept=None, **settings) -> Teacher:
    config = AnswerConfig(mode="teacher", endpoint=address, model="invented-1", **settings)
    return Teacher(store, config, KEY, sleep=(slept if slept is not None else []).append)


def test_a_teacher_is_asked_once_and_its_answer_is_kept(store, known) -> None:
    with served(Said(chat(UP))) as address:
        assert teacher(store, address)(known, "up by 1-2%") == UP.replace("2-3%", "1-2%")
    said = Said(chat(DOWN))
    with served(said) as address:
        assert "Up by 1-2%" in teacher(store, address)(known, "up by 1-2%")
    assert said.asked == []


def test_the_request_is_the_protocol_s_and_hides_the_outcome(store, known) -> None:
    said = Said(chat(UP))
    with served(said) as address:
        teacher(store, address)(known, "up by more than 5%")
    ((path, headers, body),) = said.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY.get_secret_value()}"
    assert body["model"] == "invented-1"
    assert [one["role"] for one in body["messages"]] == ["system", "user"]
    user = body["messages"][1]["content"]
    assert "More than 5%" not in user
    assert "more than 5%" not in user


def test_with_hindsight_the_outcome_is_told_and_recorded(store, known) -> None:
    said = Said(chat(UP))
    with served(said) as address:
        teacher(store, address, hindsight=True)(known, "up by 1-2%")
    assert "the price went up by 1-2%" in said.asked[0][2]["messages"][1]["content"]
    (key,) = store.keys("teacher/")
    assert json.loads(store.read(key))["hindsight"] is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "empty"), ("", "empty"), ("I cannot.", "not in three parts"), (DOWN, "contradicts")],
)
def test_answers_that_do_not_fit_are_rejected_after_so_many_attempts(
    store, known, text, reason
) -> None:
    said = Said(chat(text))
    with served(said) as address, pytest.raises(Rejected, match=reason):
        teacher(store, address, attempts=3)(known, "up by 1-2%")
    assert len(said.asked) == len(list(store.keys("teacher/"))) == 3


def test_a_second_attempt_may_fit(store, known) -> None:
    with served(Said(chat(DOWN), chat(UP))) as address:
        assert "Up by 1-2%" in teacher(store, address)(known, "up by 1-2%")


def test_a_busy_teacher_is_asked_again_when_it_says(store, known) -> None:
    busy = 429, {"Retry-After": "7"}, b"{}"
    slept: list[float] = []
    with served(Said(busy, (503, {}, b"no"), chat(UP))) as address:
        teacher(store, address, slept)(known, "up by 1-2%")
    assert slept == [7.0, 2.0]


def test_a_teacher_that_stays_busy_ends_the_build_for_now(store, known) -> None:
    said = Said((503, {}, b""))
    with (
        served(said) as address,
        pytest.raises(TransientError, match=r"check that the endpoint runs .* goes on from here"),
    ):
        teacher(store, address)(known, "up by 1-2%")
    assert len(said.asked) == TRIES
    assert list(store.keys("teacher/")) == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, {}, b'{"error": "bad key sk-invented-0123456789"}'), PermissionDeniedError),
        ((404, {}, b'{"error": "no such model"}'), ConfigError),
        ((200, {}, b"<html>Sign in</html>"), DataError),
        ((200, {}, b'{"choices": []}'), DataError),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), ConfigError),
    ],
)
def test_a_refusal_is_named_without_the_key(store, known, answer, error) -> None:
    with served(Said(answer)) as address, pytest.raises(error) as fault:
        teacher(store, address)(known, "up by 1-2%")
    assert KEY.get_secret_value() not in str(fault.value)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("ftp://host/v1", "no usable address"),
        ("https://me:secret@host/v1", "without a name or password"),
        ("http://teacher.example/v1", "plain text"),
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(store, address, told) -> None:
    with pytest.raises(ConfigError, match=told) as fault:
        teacher(store, address)
    assert "secret" not in str(fault.value)


def test_no_key_stands_in_the_request_s_hash_or_in_the_store(store, known) -> None:
    with served(Said(chat(UP))) as address:
        teacher(store, address)(known, "up by 1-2%")
    written = b"".join(store.read(key) for key in store.keys(""))
    assert KEY.get_secret_value().encode() not in written
    config = AnswerConfig(mode="teacher", endpoint="https://host/v1", model="m")
    assert KEY.get_secret_value() not in json.dumps(request_body(config, known, "up by 1-2%"))


def test_rows_of_a_week_are_asked_for_side_by_side_and_keep_their_order(store, market) -> None:
    with served(Said(chat(UP))) as address:
        answers = AnswerConfig(mode="teacher", endpoint=address, model="m", attempts=1)
        config = FeatureConfig(answers=answers)
        asked = Teacher(store, answers, None)
        symbols = ["AAA", "BBB", "CCC"]
        found = list(rows_of(market, symbols, [AT], config, asked))
    assert [one.symbol for one in found] == symbols
    for one in found:
        if isinstance(one, Left):
            assert one.reason == "answer: contradicts the outcome"
        else:
            assert isinstance(one, Row)
            assert one.label.startswith("up")
