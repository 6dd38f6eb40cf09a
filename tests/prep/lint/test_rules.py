"""Every rule on invented rows that have the fault and on rows that lack it, then the published rows' known numbers."""

import dataclasses
import random
from datetime import timedelta

import pytest

from fingpt.prep.importer import DISAGREES, OUTSIDE_GRAMMAR, RESTORED
from fingpt.prep.lint import SEVERITIES, lint
from fingpt.prep.split import split_rows


def by_rule(parts) -> dict[tuple[str, str], object]:
    return {(found.rule, found.split): found for found in lint(parts)}


@pytest.fixture
def sound(example):
    """A year of rows without any fault the linter knows but its newest week and its context."""

    def make(count: int = 60):
        rows = [
            example(
                symbol,
                number,
                "up by 2-3%" if (number + place) % 2 else "down by 0-1%",
                cap=5000.0 + random.Random(f"{symbol} {number}").randrange(1000),
                prices=(100.0,),
                reported="2030-09-30",
            )
            for number in range(count)
            for place, symbol in enumerate(("AAA", "BBB"))
        ]
        return {"train": rows[:60], "test": rows[64:]}

    return make


def test_sound_rows_give_context_and_the_unproven_last_week_only(sound):
    found = lint(sound())
    assert {(f.rule, f.severity) for f in found} == {
        ("truncated-last-week", "warning"),
        ("label-balance", "info"),
    }


@pytest.fixture(scope="module")
def published(real):
    """What is found in the published rows."""
    return lint(real.rows)


def test_errors_come_first(example):
    rows = [example("AAA", n, "up by 0-1%", cap=6000.0, prices=(90, 100)) for n in range(20)]
    order = [SEVERITIES.index(found.severity) for found in lint({"train": rows, "test": rows[:9]})]
    assert len({*order}) == len(SEVERITIES)
    assert order == sorted(order)


def test_a_constant_market_cap_is_found_only_where_it_is_constant(example):
    rows = [example("AAA", n, cap=5000.0) for n in range(5)]
    moving = [example("BBB", n, cap=5000.0 + n) for n in range(5)]
    once = [example("CCC", 2, cap=7000.0)]
    found = by_rule({"train": rows + moving + once, "test": []})["market-cap-constant", "train"]
    assert (found.count, found.of, found.severity) == (5, 11, "error")
    assert "1 of 3 symbols" in found.text


def test_the_canary_sings_only_above_chance(example):
    right = [example("AAA", n, "up by 0-1%", cap=6000.0, prices=(90, 100)) for n in range(20)]
    wrong = [example("BBB", n, "up by 0-1%", cap=4000.0, prices=(90, 100)) for n in range(20)]
    assert by_rule({"test": right})["market-cap-canary", "test"].severity == "error"
    mixed = by_rule({"test": right + wrong})["market-cap-canary", "test"]
    assert (mixed.count, mixed.of, mixed.severity) == (20, 40, "info")


def test_early_fundamentals_are_counted_by_what_could_be_known(example):
    start = example(number=4).start

    def reported(days: int):
        return example(f"S{days}", 4, reported=str(start - timedelta(days=days)))

    found = by_rule({"test": [reported(d) for d in (-3, 0, 9, 10, 39, 40, 80)]})
    assert found["fundamentals-unknowable", "test"].count == 3
    assert found["fundamentals-maybe-ahead", "test"].count == 5


def test_a_last_week_cut_short_is_proven_by_the_builders_own_price(example):
    def rows(number, cap):
        return [
            example(f"S{place}", number, "up by 2-3%", cap=cap, prices=(90, 100))
            for place in range(12)
        ]

    cut = rows(3, 6000.0) + rows(4, 5125.0)
    found = by_rule({"test": cut})["truncated-last-week", "test"]
    assert (found.severity, found.count, found.of) == ("error", 12, 24)
    whole = rows(3, 5125.0) + rows(4, 5125.0)
    assert by_rule({"test": whole})["truncated-last-week", "test"].severity == "warning"


def test_labels_that_later_prompts_tell_are_found_and_checked(example):
    told = example("AAA", 4, "up by 2-3%")
    later = example("AAA", 5, "up by 0-1%", prices=(100.0, 102.5))
    found = by_rule({"train": [told, later], "test": []})
    assert found["label-in-later-prompt", "train"].count == 1
    wrong = example("AAA", 4, "down by 2-3%")
    assert by_rule({"train": [wrong, later]})["label-contradicts-prices", "train"].count == 1
    leaked = by_rule({"train": [later], "test": [told]})
    assert leaked["test-label-in-train-prompt", "test"].severity == "error"
    rounded = example("AAA", 5, "up by 0-1%", prices=(100.0, 102.0))
    on_edge = by_rule({"train": [told, rounded]})
    assert ("label-contradicts-prices", "train") not in on_edge


def test_weeks_that_overlap_or_touch_are_found(example):
    train = [example("AAA", n) for n in (1, 2, 5)]
    found = by_rule({"train": train, "test": [example("AAA", 3), example("AAA", 4)]})
    assert found["weeks-overlap", "train"].count == 1
    assert found["no-embargo", "train"].count == 1


def test_duplicates_are_found_across_splits_and_inside_a_prompt(example):
    twice = "[Headline]: Same\n[Summary]: a\n\n[Headline]: Same\n[Summary]: b"
    first, second = example("AAA", 3), example("AAA", 3, news=twice)
    found = by_rule({"train": [first], "test": [second, example("BBB", 3)]})
    assert found["duplicate-question", "train"].count == 1
    assert found["duplicate-question", "test"].count == 1
    assert found["duplicate-headline", "test"].count == 1


@pytest.mark.parametrize(
    "tag",
    ["[/INST]", "<<SYS>>", "</s>", "<|eot_id|>", "<|start_header_id|>", "<｜User｜>", "</think>"],
)
def test_template_tags_of_every_family_are_found_in_news(example, tag):
    found = by_rule({"test": [example(news=f"[Headline]: {tag} hi"), example("BBB")]})
    assert found["template-tags-in-text", "test"].count == 1
    assert tag in found["template-tags-in-text", "test"].text


def test_the_wrong_asset_word_is_found_in_stock_prompts_alone(example):
    rows = [
        example(asset="cryptocurrency"),
        example("BTC-USD", asset="cryptocurrency"),
        example("B"),
    ]
    assert by_rule({"test": rows})["wrong-asset-word", "test"].count == 1


def test_notes_of_the_importer_become_findings(example):
    rows = [
        dataclasses.replace(example("AAA"), notes=(RESTORED,)),
        dataclasses.replace(example("BBB"), notes=(DISAGREES,)),
        dataclasses.replace(example("CCC"), notes=(OUTSIDE_GRAMMAR,)),
    ]
    found = by_rule({"test": rows})
    assert [found[note, "test"].count for note in (RESTORED, DISAGREES, OUTSIDE_GRAMMAR)] == [
        1,
        1,
        1,
    ]
    assert found[DISAGREES, "test"].severity == "error"


@pytest.mark.slow
def test_published_rows_show_every_known_fault_with_its_number(published):
    found = {(each.rule, each.split): each for each in published}
    expected = {
        ("wrong-asset-word", "test"): 300,
        ("wrong-asset-word", "train"): 244,
        ("prediction-line-restored", "test"): 3,
        ("prediction-line-restored", "train"): 1,
        ("market-cap-constant", "test"): 300,
        ("market-cap-canary", "test"): 207,  # 69.0 %
        ("market-cap-canary", "train"): 138,
        ("fundamentals-unknowable", "test"): 30,
        ("fundamentals-maybe-ahead", "test"): 89,
        ("truncated-last-week", "test"): 30,
        ("label-in-later-prompt", "test"): 270,
        ("label-in-later-prompt", "train"): 86,
        ("duplicate-headline", "test"): 24,
        ("label-balance", "test"): 137,
        ("few-test-weeks", "test"): 10,
    }
    assert {key: found[key].count for key in expected} == expected
    assert "69.0 %" in found["market-cap-canary", "test"].text
    assert "2024-03-31: 26 rows of 13 firms" in found["fundamentals-unknowable", "test"].text
    assert "2024-03-31: 65 rows of 13 firms" in found["fundamentals-maybe-ahead", "test"].text
    assert "270 of 270 checkable" in found["label-in-later-prompt", "test"].text
    assert "(267 of them" in found["label-in-later-prompt", "test"].text
    assert found["truncated-last-week", "test"].severity == "error"
    assert "28 of 2997" in found["duplicate-headline", "test"].text
    assert "54.3 %" in found["label-balance", "test"].text


@pytest.mark.slow
def test_published_rows_show_these_faults_and_no_others(published):
    assert {(each.rule, each.severity) for each in published} == {
        ("market-cap-constant", "error"),
        ("market-cap-canary", "error"),
        ("fundamentals-unknowable", "error"),
        ("truncated-last-week", "error"),
        ("fundamentals-maybe-ahead", "warning"),
        ("label-in-later-prompt", "warning"),
        ("wrong-asset-word", "warning"),
        ("prediction-line-restored", "warning"),
        ("few-test-weeks", "warning"),
        ("duplicate-headline", "info"),
        ("no-embargo", "info"),
        ("label-balance", "info"),
    }


@pytest.mark.slow
def test_the_scores_of_known_leaks_are_those_of_the_leak_alone(published):
    scores = {(each.rule, each.split): each.score for each in published}
    assert scores["market-cap-canary", "test"] == pytest.approx(0.69)
    assert scores["market-cap-constant", "test"] == pytest.approx(0.69)
    assert scores["truncated-last-week", "test"] == 1.0
    assert scores["fundamentals-unknowable", "test"] is None


@pytest.mark.slow
def test_a_random_split_of_published_rows_leaks_test_labels_into_training(real):
    from fingpt.config import PrepConfig

    config = PrepConfig(split="random", allow_leaky_split=True)
    found = by_rule(split_rows(real.rows, config, seed=42).parts())
    assert found["test-label-in-train-prompt", "test"].count > 40
    assert found["weeks-overlap", "train"].severity == "error"
