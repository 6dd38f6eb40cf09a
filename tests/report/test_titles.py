"""What sides are called: by their model, and by what differs where a model has several."""

from __future__ import annotations

import pytest

from fingpt.config import parse_config
from fingpt.report.compose import compose
from fingpt.report.inputs import read_runs
from fingpt.report.render import render
from fingpt.report.titles import short, side_titles
from fingpt.runs.run import Run


def run(model="llama31", code="", **sections):
    return Run.of(parse_config({"model": model, **sections}, "here"), {"train": code})


def test_runs_of_one_model_are_named_by_what_differs():
    slow, fast = run(train={"lr": 1e-4}), run(train={"lr": 2e-4})
    assert side_titles([[slow], [fast]]) == [
        "Llama-3.1-8B, train.lr 1e-4",
        "Llama-3.1-8B, train.lr 2e-4",
    ]


def test_what_all_of_a_model_share_is_not_named_and_another_model_needs_no_more_than_its_name():
    made = [
        run(train={"lr": 1e-4, "epochs": 1.0, "lora": {"r": 8}}),
        run(train={"lr": 1e-4, "epochs": 3.0, "lora": {"r": 8}}),
        run("deepseek-r1", train={"lr": 5e-5}),
    ]
    assert side_titles([[one] for one in made]) == [
        "Llama-3.1-8B, train.epochs 1",
        "Llama-3.1-8B, train.epochs 3",
        "DeepSeek-R1-Distill-Llama-8B",
    ]


def test_seeds_of_a_family_are_one_side_and_no_part_of_its_name():
    families = [
        [run(seed=seed, train={"lr": lr}) for seed in (first, first + 1)]
        for first, lr in ((1, 1e-4), (7, 2e-4))
    ]
    assert [title.partition(", ")[2] for title in side_titles(families)] == [
        "train.lr 1e-4",
        "train.lr 2e-4",
    ]


def test_code_alone_and_long_names_leave_the_id_to_tell_them_apart():
    one, two = run(code="one"), run(code="two")
    assert side_titles([[one], [two]]) == [f"Llama-3.1-8B ({each.id[-8:]})" for each in (one, two)]
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj"]
    a, b = (run(train={"lora": {"targets": names}}) for names in (layers, layers[:4]))
    titles = side_titles([[a], [b]])
    assert len(set(titles)) == 2
    assert titles[0] == f"Llama-3.1-8B, train.lora.targets q_proj+k_proj+v_proj+o_… ({a.id[-8:]})"


def test_more_than_three_differences_are_counted():
    far = run(train={"lr": 1e-3, "epochs": 1.0, "lora": {"r": 8, "alpha": 16, "dropout": 0.1}})
    assert side_titles([[far], [run()]])[0] == (
        "Llama-3.1-8B, train.lora.r 8, train.lora.alpha 16, train.lora.dropout 0.1, 2 more"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((1e-4, "1e-4"), (2.5e-4, "2.5e-4"), (0.05, "0.05"), (3.0, "3"), (None, "none")),
        *((1.0000001, "1.0000001"), (True, "true"), (("a", "b"), "a+b"), (16, "16")),
    ],
)
def test_values_are_written_as_people_write_them(value, text):
    assert short(value) == text


def test_the_names_stand_in_title_table_charts_and_headline(world, plan):
    ids = [
        world.add("llama31", plan(seed=10 * n + seed, run_seed=seed, lr=lr, code="same"))
        for n, lr in enumerate((1e-4, 2e-4))
        for seed in (1, 2)
    ]
    reading = read_runs(world.store, ids)
    report = compose(reading.sides, reading.test, reading.train, {})
    names = ["Llama-3.1-8B, train.lr 1e-4", "Llama-3.1-8B, train.lr 2e-4"]
    assert [len(side.runs) for side in reading.sides] == [2, 2]
    told = [report.title, *(sentence.text for sentence in report.headline)]
    pages = {name: data.decode() for name, data in render(report).items()}
    for name in names:
        assert any(name in text for text in told)
        assert name in pages["report.md"]
        assert f'<th scope="col" class="n">{name}</th>' in pages["report.html"]
        assert f">{name}</text>" in pages["report.html"]
