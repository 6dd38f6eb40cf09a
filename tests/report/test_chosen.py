"""Which runs and texts a person asked a report to be about."""

from __future__ import annotations

import pytest

from fingpt.errors import ConfigError, MissingInputError
from fingpt.report.chosen import Texts, chosen_texts, finished_runs, newest_runs


def stamp(day):
    return f"2030-06-{day:02d}T00:00:00+00:00"


def test_the_newest_run_of_each_model_on_the_newest_data_set_is_taken(make_world, plan):
    world, other = make_world(), make_world(weeks=3, symbols=4)
    world.add("llama31", plan(finished_at=stamp(1)))
    newest = world.add("llama31", plan(finished_at=stamp(4)))
    world.add("llama31", plan(finished_at=stamp(2)))
    deepseek = world.add("deepseek-r1", plan(finished_at=stamp(5)))
    other.add("tiny-llama31", plan(finished_at=stamp(3)))
    assert newest_runs(world.store) == [newest, deepseek]


def test_an_empty_store_says_what_to_run(store):
    with pytest.raises(MissingInputError, match="make run MODEL=tiny-llama31"):
        newest_runs(store)


def test_named_runs_keep_their_order_and_must_be_there(world, plan):
    ids = [world.add("deepseek-r1", plan(seed=2)), world.add("llama31", plan())]
    assert [run.id for run in finished_runs(world.store, ids)] == ids
    with pytest.raises(MissingInputError, match="llama31-00000000"):
        finished_runs(world.store, [*ids, "llama31-00000000"])


@pytest.mark.parametrize("word", ["", " all ", "without-news", "none"])
def test_a_choice_of_texts_is_taken_without_its_blanks(word):
    assert chosen_texts(word) is Texts(word.strip() or "all")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("without-new", "did you mean 'without-news'?"),
        ("x", "known: all, none, without-news."),
    ],
)
def test_another_word_for_texts_is_answered_once(word, hint):
    with pytest.raises(ConfigError) as caught:
        chosen_texts(word)
    said = str(caught.value)
    assert said.endswith(hint)
    assert said.count("without-news") == 1


def test_a_run_that_never_opened_the_test_is_no_side_of_a_comparison(world, plan):
    trial = world.add("llama31", plan(finished_at=stamp(9), split="validation"))
    with pytest.raises(ConfigError, match=r"validation rows alone .*make sweep-report"):
        finished_runs(world.store, [trial])
    with pytest.raises(MissingInputError):
        newest_runs(world.store)
    final = world.add("llama31", plan(finished_at=stamp(1)))
    assert newest_runs(world.store) == [final]
