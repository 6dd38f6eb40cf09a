"""The browser of rows: every row with its forecasts, texts by policy, foreign text as text, one named script."""

from __future__ import annotations

import base64
import csv
import dataclasses
import gzip
import hashlib
import html
import io
import json
import re

import numpy as np
import pytest

from fingpt.errors import DataError, StorageError
from fingpt.report.chosen import Texts
from fingpt.report.inputs import read_runs
from fingpt.report.rows import probability_up, read_answers, row_entries
from fingpt.report.rows_page import render_rows

HOSTILE = "</script><script>alert(1)</script> [Headline]: x"


@pytest.fixture(scope="module")
def answers(pair):
    return [
        {"tuned": {name: f"answer {name[:6]} of {side.title}" for name in side.tuned.example}, "base": {}}
        for side in pair.sides
    ]  # fmt: skip


@pytest.fixture(scope="module")
def entries(pair, answers):
    return row_entries(pair.sides, answers, pair.test, Texts.ALL)


def embedded_texts(page: str) -> list:
    packed = re.search(r'id="texts">([^<]*)<', page)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def test_every_test_row_stands_there_once_in_order_of_week_and_symbol(pair, entries):
    places = [(entry.week, entry.symbol) for entry in entries]
    assert places == sorted({(e.start.isoformat(), e.symbol) for e in pair.test})
    assert len(places) == 300


def test_a_row_says_what_the_scores_say(pair, entries):
    for place, side in enumerate(pair.sides):
        right = sum(entry.models[place].right is True for entry in entries)
        assert right == side.tuned.correct.sum()
        unread = sum(entry.models[place].right is None for entry in entries)
        assert unread == (side.tuned.valid == 0).sum() > 0
        squares = sum(entry.models[place].error ** 2 for entry in entries)
        assert squares == pytest.approx(side.tuned.squared_error.sum())


def test_a_side_with_other_rows_was_not_asked(pair, answers):
    other = pair.sides[1]
    kept = np.arange(other.tuned.n - 1)
    fewer = dataclasses.replace(
        other.tuned,
        example=other.tuned.example[:-1],
        week=other.tuned.week[:-1],
        rouge={name: column[kept] for name, column in other.tuned.rouge.items()},
        **{
            name: getattr(other.tuned, name)[kept]
            for name in (
                *("truth", "nll", "answer_tokens", "new_tokens", "seconds"),
                *("parsed", "valid", "direction", "margin"),
            )
        },
    )
    sides = [pair.sides[0], dataclasses.replace(other, arrays={"tuned": fewer})]
    found = row_entries(sides, answers, pair.test, Texts.ALL)
    missing = [entry.models[1] for entry in found if entry.models[1].label == "not asked"]
    assert [model.right for model in missing] == [None]


def test_probabilities_of_a_rise_are_the_share_of_the_six_labels_that_go_up():
    class Scores:
        label_logp = np.log(np.array([[0.05] * 6 + [0.02] * 6, [1e-300] * 6 + [1.0] * 6]))

    assert probability_up(Scores()) == pytest.approx([0.12 / 0.42, 1.0])


def test_answers_are_read_from_the_stored_chunks_of_every_run_the_first_seeds_first(world, plan):
    ids = [world.add("llama31", plan(run_seed=seed, seed=seed)) for seed in (1, 2)]
    reading = read_runs(world.store, ids)
    found = read_answers(world.store, reading.sides[0], reading.inputs)
    assert len(found["tuned"]) == len(found["base"]) == 300
    assert set(found["tuned"].values()) == {
        f"tuned answer of {ids[0]} to {example.id[:8]}" for example in world.test
    }


def test_a_changed_chunk_is_refused(world, plan, tmp_path):
    run = world.add("llama31", plan())
    reading = read_runs(world.store, [run])
    (path,) = tmp_path.rglob("predictions/tuned/0000.jsonl")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"answer", b"anvwer", 1))
    with pytest.raises(StorageError, match="sha256"):
        read_answers(world.store, reading.sides[0], reading.inputs)


def test_a_chunk_that_holds_no_answers_is_named(world, plan, monkeypatch):
    monkeypatch.setattr("tests.report.world.answers", lambda *_: b"{}\n[1]\n")
    run = world.add("llama31", plan())
    reading = read_runs(world.store, [run])
    with pytest.raises(DataError, match=rf"0000\.jsonl .* evaluate run {run}"):
        read_answers(world.store, reading.sides[0], reading.inputs)


def test_the_page_is_complete_without_its_script(pair, entries):
    titles = [side.title for side in pair.sides]
    page = render_rows(entries, titles, "0123", Texts.ALL)["rows.html"].decode()
    rows = re.findall(r"<tr data-place=.*?</tr>", page)
    assert len(rows) == 300
    cells = [html.unescape(text) for text in re.findall(r"<t[dh][^>]*>([^<]*)<", rows[0])]
    first = entries[0]
    assert cells[:4] == [first.week, first.symbol, first.happened, first.models[0].label]


def test_the_content_policy_names_the_only_script_that_runs(entries):
    page = render_rows(entries, ["a", "b"], "0123", Texts.ALL)["rows.html"].decode()
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert not re.search(r"\bon\w+=|innerHTML|insertAdjacentHTML|eval\(", page)


def test_foreign_text_stays_text(pair, answers, entries):
    row = dataclasses.replace(
        entries[0],
        symbol=HOSTILE,
        prompt=HOSTILE,
        models=tuple(dataclasses.replace(model, answer=HOSTILE) for model in entries[0].models),
    )
    page = render_rows([row], [HOSTILE, "b"], "0123", Texts.ALL, warning=HOSTILE)["rows.html"]
    assert b"alert(1)</script>" not in page
    assert embedded_texts(page.decode())[0][0] == HOSTILE


def test_texts_follow_the_policy(pair, answers):
    prompt = "Intro\n[Headline]: Secret\n[Summary]: More\n\n[Headline]: Second\nFinancials"
    test = [dataclasses.replace(example, user=prompt + example.user) for example in pair.test]
    names = dict(zip((e.id for e in pair.test), test, strict=True))
    same = [dataclasses.replace(e) for e in names.values()]
    for example, kept in zip(same, pair.test, strict=True):
        object.__setattr__(example, "__dict__", {**example.__dict__, "id": kept.id})
    pages = {
        texts: render_rows(
            row_entries(pair.sides, answers, same, texts), ["a", "b"], "0123", texts
        )["rows.html"].decode()
        for texts in Texts
    }
    assert "Secret" in embedded_texts(pages[Texts.ALL])[0][0]
    shown = embedded_texts(pages[Texts.WITHOUT_NEWS])[0]
    assert shown[0].startswith("Intro\n[news left out]\nFinancials")
    assert shown[2][0][0].startswith("answer ")
    assert 'id="texts"' not in pages[Texts.NONE]
    assert "left out" in pages[Texts.NONE]


def test_the_csv_holds_every_row_and_runs_nothing(entries):
    row = dataclasses.replace(entries[0], symbol="=HYPERLINK(1)")
    data = render_rows([row, *entries[1:]], ["a", "b"], "0123", Texts.ALL)["rows.csv"]
    table = list(csv.DictReader(io.StringIO(data.decode())))
    assert len(table) == 300
    assert table[0]["symbol"] == "'=HYPERLINK(1)"
    assert {line["a: right"] for line in table} == {"", "0", "1"}


def test_equal_rows_give_equal_bytes(entries):
    assert render_rows(entries, ["a", "b"], "x", Texts.ALL) == render_rows(
        entries, ["a", "b"], "x", Texts.ALL
    )


def test_maps_show_every_row_and_give_way_to_very_many(entries):
    from fingpt.report.charts_rows import outcome_maps

    maps = outcome_maps(entries, ["a", "b"])
    assert [len(chart.rows) for chart in maps] == [300, 300]
    right = sum(entry.models[0].right is True for entry in entries)
    assert f"{right} right" in maps[0].alt
    many = [dataclasses.replace(entries[0], symbol=f"S{i}") for i in range(200)]
    assert outcome_maps(many, ["a", "b"]) == []
