"""A run answers: records that say everything, made once, with the temperature and the verdict of its own evaluation."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from fingpt.errors import DataError, MissingInputError, SetupError
from fingpt.forecast import answer as answering
from fingpt.forecast.answer import answer
from fingpt.forecast.record import DISCLAIMER, find_records, keep_record, record_key
from fingpt.runs.manifest import EvalManifest
from fingpt.runs.run import Stage, complete_key
from fingpt.runs.stage import finished


def test_a_record_says_who_was_asked_what_and_with_which_evidence(
    world, evaluated, request_of, site
):
    request = request_of("AAPL", "MSFT")
    first, second = answer(world.store, evaluated, request, site)
    manifest = finished(world.store, evaluated, Stage.EVAL)
    assert isinstance(manifest, EvalManifest)
    assert (first.symbol, second.symbol) == ("AAPL", "MSFT")
    assert first.adapter_sha256 == manifest.adapter_sha256
    assert first.base_sha256 == manifest.base_sha256
    question = request.questions[0]
    assert (first.facts, first.sources, first.degraded) == (
        question.facts,
        ("files",),
        {"files/news": "no file"},
    )
    assert (first.prompt_sha256, first.facts_sha256) == (
        question.prompt_sha256,
        question.facts_sha256,
    )
    assert first.available_at_max == question.available_at_max
    assert first.disclaimer == DISCLAIMER
    assert first.run == evaluated.id
    assert len(first.code_version) == 64
    assert first.answer != second.answer or first.probabilities != second.probabilities


def test_the_probabilities_are_calibrated_by_the_temperature_of_the_run_s_validation_weeks(
    world, evaluated, request_of, site
):
    (record,) = answer(world.store, evaluated, request_of("AAPL"), site)
    fitted = finished(world.store, evaluated, Stage.EVAL).scores["tuned"].label_temperature
    assert record.temperature == fitted
    for chances in (record.probabilities, record.probabilities_calibrated):
        assert sum(chances) == pytest.approx(1)
    odds = [
        math.log(a / b)
        for a, b in zip(record.probabilities, record.probabilities[1:], strict=False)
    ]
    calm = record.probabilities_calibrated
    cooled = [math.log(a / b) for a, b in pairwise(calm)]
    assert cooled == pytest.approx([each / fitted for each in odds])


def test_who_asks_twice_gets_the_first_record_and_no_model_is_loaded(
    world, evaluated, request_of, site, monkeypatch
):
    request = request_of("AAPL")
    first = answer(world.store, evaluated, request, site)

    def never(*_: object) -> None:
        raise AssertionError("the model was loaded again")

    monkeypatch.setattr(answering, "Forecaster", never)
    assert answer(world.store, evaluated, request, site) == first


def test_only_the_symbols_that_lack_a_record_are_asked(
    world, evaluated, request_of, site, monkeypatch
):
    answer(world.store, evaluated, request_of("AAPL"), site)
    asked = []
    real = answering.label_logp

    def noted(model, prompts, *rest):
        asked.extend(prompt.example.symbol for prompt in prompts)
        return real(model, prompts, *rest)

    monkeypatch.setattr(answering, "label_logp", noted)
    records = answer(world.store, evaluated, request_of("AAPL", "MSFT"), site)
    assert asked == ["MSFT"]
    assert [record.symbol for record in records] == ["AAPL", "MSFT"]


def test_of_two_writers_the_first_one_s_record_stands(world, evaluated, request_of, site):
    (record,) = answer(world.store, evaluated, request_of("AAPL"), site)
    other = record.model_copy(update={"answer": "another"})
    assert keep_record(world.store, other) == record
    assert find_records(world.store, evaluated.id, request_of("AAPL")) == {"AAPL": record}


def test_a_forecast_is_late_from_the_next_session_s_opening_on(world, evaluated, request_of, site):
    request = request_of("AAPL")
    (record,) = answer(world.store, evaluated, request, site)
    assert record.late == (datetime.now(UTC) >= request.due)
    ahead = request.model_copy(update={"due": datetime(2999, 1, 1, tzinfo=UTC)})
    (early,) = [
        answering.Forecaster(world.store, evaluated, site, fresh(world, "early")).forecast(
            ahead.model_copy(update={"questions": request_of("MSFT").questions}),
            request_of("MSFT").questions,
        )["MSFT"]
    ]
    assert not early.late


def fresh(world, name):
    folder = world.folder / name
    folder.mkdir()
    return folder


def test_the_record_lies_under_run_day_and_symbol(world, evaluated, request_of, site):
    request = request_of("BRK-B")
    (record,) = answer(world.store, evaluated, request, site)
    assert record.key == (
        f"forecasts/{evaluated.id}/2026-11-20/BRK-B-{record.prompt_sha256[:12]}.json"
    )
    assert world.store.exists(
        record_key(evaluated.id, request.as_of, "BRK-B", record.prompt_sha256)
    )


def test_the_question_is_asked_with_the_system_text_of_the_run_s_rows(
    world, evaluated, request_of, site, monkeypatch
):
    seen = []
    real = answering.render_prompt

    def noted(spec, tokenizer, example, room):
        seen.append((example.system, example.user))
        return real(spec, tokenizer, example, room)

    monkeypatch.setattr(answering, "render_prompt", noted)
    request = request_of("AAPL")
    answer(world.store, evaluated, request, site)
    assert seen == [("You forecast.", request.questions[0].text)]


def test_a_question_that_is_put_otherwise_than_training_rows_carries_a_warning(
    world, evaluated, request_of, site
):
    request = request_of("AAPL")
    (question,) = request.questions
    other = question.model_copy(update={"text": f"[Macro Figures]:\n\n{question.text}"})
    (record,) = answer(
        world.store, evaluated, request.model_copy(update={"questions": (other,)}), site
    )
    assert "has Macro Figures, which none of the run's training rows have" in record.warnings[0]


def test_a_run_without_a_finished_evaluation_does_not_forecast(
    world, evaluated, request_of, site, tmp_path
):
    (tmp_path / "store" / complete_key(evaluated.id, Stage.EVAL)).unlink()
    with pytest.raises(MissingInputError, match=r"has not finished eval.*make run MODEL=tiny"):
        answer(world.store, evaluated, request_of("AAPL"), site)


def test_an_adapter_that_was_changed_after_its_evaluation_is_refused(
    world, evaluated, request_of, site, monkeypatch
):
    real = answering.require_ready

    def other(store, run):
        return real(store, run).model_copy(update={"adapter_sha256": "f" * 64})

    monkeypatch.setattr(answering, "require_ready", other)
    with pytest.raises(DataError, match="changed in between"):
        answer(world.store, evaluated, request_of("AAPL"), site)


def test_a_close_that_the_clock_has_not_reached_is_no_close(world, evaluated, request_of, site):
    request = request_of("AAPL").model_copy(update={"as_of": datetime(2999, 1, 1, tzinfo=UTC)})
    with pytest.raises(SetupError, match="set the clock"):
        answer(world.store, evaluated, request, site)
