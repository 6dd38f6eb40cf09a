"""Each planted leak is found by its rule in every wording, honest rows are left in peace, and so are dealt labels."""

import dataclasses
import importlib.util
import random
import re
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from fingpt.config import PrepConfig
from fingpt.leaks import FAULTS
from fingpt.prep.facts import Case
from fingpt.prep.importer import import_rows
from fingpt.prep.lint import lint
from fingpt.prep.lint.copies import near_duplicates
from fingpt.prep.lint.scan import by_effect
from fingpt.prep.split import split_rows
from fingpt.rows.readers import read_file
from fingpt.runs.freeze import NOISE, SAMPLE


def beside(name):
    """The module `name` of this folder: tests are no package."""
    spec = importlib.util.spec_from_file_location(
        f"lint_{name}", Path(__file__).parent / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LEAKS = beside("leaks").LEAKS
BY_EFFECT = {rule for rule, _, _ in LEAKS if "-tell" in rule} | {"target-in-news"}
world = beside("conftest")


def cases_of(rows):
    return {split: [Case(row) for row in part] for split, part in rows.items()}


def errors(found):
    return [each for each in found if each.severity == "error"]


def dealt(cases, seed):
    """The same prompts with labels dealt anew among the rows of each week."""
    rng, new = random.Random(seed), {}
    for part in cases.values():
        weeks = {}
        for case in part:
            weeks.setdefault(case.example.period, []).append(case.example)
        for week in weeks.values():
            for one, other in zip(week, rng.sample(week, len(week)), strict=True):
                new[one.id] = other.label
    return {
        split: [relabelled(c, new[c.example.id]) for c in part] for split, part in cases.items()
    }


def relabelled(case, label):
    row = dataclasses.replace(case.example, label=label)
    vars(row)["stated"] = case.facts  # the prompt is the same
    return Case(row)


def alarms(rows, draws, *, known_cap):
    """In how many of `draws` deals of the labels something is found to go with them."""
    cases = cases_of(rows)
    deals = (dealt(cases, seed) for seed in range(draws))
    return sum(any(by_effect(each, in_order(cases), known_cap)) for each in deals)


def in_order(cases):
    """The places of rows that stand in their source as they do here."""
    return np.arange(sum(map(len, cases.values())))


@pytest.mark.parametrize(
    "whole", [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.part5])]
)
@pytest.mark.parametrize(
    ("rule", "plant"),
    [(rule, plant) for rule, _, plant in LEAKS],
    ids=[name for _, name, _ in LEAKS],
)
def test_a_planted_leak_is_an_error_of_its_rule(honest, rule, plant, whole, monkeypatch):
    """By the whole linter, and by that half of it alone which reads texts, or looks for effects."""
    if not whole and rule in BY_EFFECT:
        monkeypatch.setattr("fingpt.prep.lint.RULES", ())
    elif not whole:
        monkeypatch.setattr("fingpt.prep.lint.by_effect", lambda *_: ())
    rows = honest()
    plant(rows)
    found = [each for each in errors(world.findings(rows)) if each.rule == rule]
    assert found
    assert all(each.touches == FAULTS[rule].touches != () for each in found)
    scores = [(each.score, each.count) for each in found if each.score is not None]
    if rule == "news-after-as-of":  # when a text was written says nothing about a direction
        assert scores == []
    else:
        assert sum(score * count for score, count in scores) / sum(c for _, c in scores) > 0.52


def test_every_leak_has_three_wordings_or_more():
    source = (Path(__file__).parent / "leaks.py").read_text(encoding="utf-8")
    sections = source.split("\n# ")[1:]
    assert len(sections) == 13
    assert min(section.count("@leak(") for section in sections) >= 3


def test_a_leak_is_counted_in_each_split_and_scored_there(honest):
    rows = honest()
    next(plant for _, name, plant in LEAKS if name == "a word in the introduction")(rows)
    found = {each.split: each for each in world.findings(rows) if each.rule == "words-tell-label"}
    told = {split: sum("sunny" in row["prompt"] for row in part) for split, part in rows.items()}
    silent = {split: len(part) - told[split] for split, part in rows.items()}
    assert all(found[split].count in (told[split], silent[split]) for split in rows)
    assert {each.score for each in found.values()} == {1.0}
    assert "weeks held out" in found["test"].text


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_honest_rows_have_no_error_and_nothing_that_tells(seed):
    found = world.findings(world.honest_rows(seed))
    assert errors(found) == []
    assert not [each for each in found if "tell" in each.rule]


def test_dealt_labels_raise_no_alarm(honest):
    rows = {split: world.examples(part) for split, part in honest().items()}
    assert alarms(rows, 8, known_cap=False) == 0


@pytest.mark.slow
@pytest.mark.part1
@pytest.mark.timeout(1800)
def test_dealt_labels_alarm_in_no_more_than_one_of_twenty(honest):
    rows = {split: world.examples(part) for split, part in honest().items()}
    assert alarms(rows, 200, known_cap=False) <= 10


@pytest.mark.slow
@pytest.mark.part2
@pytest.mark.timeout(1800)
def test_dealt_labels_of_published_rows_alarm_in_no_more_than_one_of_twenty(real):
    assert alarms(real.rows, 200, known_cap=False) <= 10


@pytest.mark.slow
@pytest.mark.part3
@pytest.mark.timeout(1800)
def test_fewer_than_one_of_twenty_honest_worlds_has_an_error():
    # A rule that finds something in both splits finds it in one world.
    worlds = (errors(world.findings(world.honest_rows(seed))) for seed in range(200))
    bad = Counter(tuple(sorted({each.rule for each in found})) for found in worlds if found)
    assert bad.total() <= 10, bad


@pytest.mark.parametrize("source", [SAMPLE, NOISE], ids=lambda path: path.name)
@pytest.mark.parametrize("limit", [1, 3, 4, 5, 8, 20])
def test_a_few_of_the_shipped_rows_are_no_copies_of_one_another(source, limit):
    files = (
        row for name in ("train", "test") for row in read_file(source / f"{name}.parquet", name)
    )
    split = split_rows(import_rows(files, 0.0).rows, PrepConfig(limit=limit), 42)
    assert errors(lint(split.parts())) == []


def test_among_few_rows_a_copy_is_still_found():
    rows = world.honest_rows()
    few = {"train": rows["train"][:20], "test": rows["test"][:5]}
    copied = {**few["train"][3], "period": few["test"][0]["period"]}
    found = world.findings({**few, "test": [*few["test"], copied]})
    assert "near-duplicate-in-train" in {each.rule for each in errors(found)}


def test_the_shipped_sample_has_no_error_and_its_news_are_said_to_tell():
    rows = import_rows(
        (
            row
            for split in ("train", "test")
            for row in read_file(SAMPLE / f"{split}.parquet", split)
        ),
        0.0,
    ).rows
    found = lint(rows)
    assert errors(found) == []
    telling = {each.rule for each in found if "tell" in each.rule}
    assert telling == {"words-tell-label"}
    assert "may be what the news are for" in next(
        e.text for e in found if e.rule == "words-tell-label"
    )


@pytest.mark.slow  # 505 long rows
def test_the_published_market_cap_is_found_by_its_effect_alone(real):
    cases = cases_of(real.rows)
    found = {each.rule: each for each in by_effect(cases, in_order(cases), known_cap=False)}
    assert found["ratio-tells-label"].severity == "error"
    assert "capitalization of" in found["ratio-tells-label"].text


@pytest.mark.parametrize("changed", [0.0, 0.1])
def test_copies_of_long_rows_are_all_found_with_one_word_in_ten_changed(changed):
    rows = made_rows(120)
    draw = random.Random(1)

    def edited(text):
        return re.sub(
            r"\b[a-z]{3,}\b", lambda m: "notably" if draw.random() < changed else m[0], text
        )

    copies = [
        dataclasses.replace(
            row,
            user=edited(row.user),
            answer=edited(row.answer),
            period=f"{row.start - timedelta(days=364)} to {row.end - timedelta(days=364)}",
        )
        for row in rows["test"]
    ]
    found = list(
        near_duplicates(cases_of({"train": [*rows["train"], *copies], "test": rows["test"]}))
    )
    assert [(each.split, each.count, each.score) for each in found] == [("test", len(copies), 1.0)]
    assert not list(near_duplicates(cases_of(rows)))


def test_a_few_rows_are_not_scanned(honest):
    rows = {split: part[:12] for split, part in honest().items()}
    next(plant for _, name, plant in LEAKS if name == "a word in the introduction")(rows)
    assert not [each for each in world.findings(rows) if "tell" in each.rule]


def made_rows(count):
    """So many rows as long as published ones: 30 companies, the news of their weeks repeated in other words."""
    draw = random.Random(7)
    words = [
        f"{a}{b}{c}"
        for a in "bdfgklmnprst"
        for b in "aeiou"
        for c in ("n", "r", "st", "lk", "m", "x")
    ]

    def text(number):
        return " ".join(draw.choices(words, k=number))

    rows = []
    for seed in range(1 + count // (12 * (world.TRAIN_WEEKS + world.TEST_WEEKS))):
        for part in world.honest_rows(seed + 50).values():
            for row in part:
                news = "\n\n".join(
                    f"[Headline]: {text(10)}\n[Summary]: {text(70)}" for _ in range(10)
                )
                head = row["prompt"].replace("Some recent", f"{news}\n\nSome recent", 1)
                figures = "".join(f"ratio{n}: {draw.uniform(0, 50):.4f}\n" for n in range(34))
                prompt = head.replace("currentRatio", f"{figures}currentRatio", 1)
                rows.append(
                    {
                        **row,
                        "prompt": prompt,
                        "answer": f"{row['answer']} {text(150)}",
                        "symbol": f"{row['symbol']}{seed}",
                    }
                )
    return {
        "train": world.examples(rows[: count * 4 // 5]),
        "test": world.examples(rows[count * 4 // 5 : count]),
    }
