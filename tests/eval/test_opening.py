"""The test split is noted as opened by evaluations that can go on, and before any of its rows is read."""

from __future__ import annotations

import pytest

from fingpt.errors import DataError, SetupError
from fingpt.eval import loaded, scoring, variant
from fingpt.eval.stage import body
from fingpt.runs import openings


@pytest.mark.parametrize("begun", [False, True])
def test_base_and_adapter_are_loaded_then_the_opening_is_noted_then_test_rows_are_read(
    world, monkeypatch, begun
):
    run = world.run()
    if begun:
        monkeypatch.setattr(openings, "record", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            body(world.context(run, "begun"))
        monkeypatch.undo()
    seen = []

    def note(module, name, what):
        real = getattr(module, name)

        def noted(*given, **more):
            seen.append(what(*given))
            return real(*given, **more)

        monkeypatch.setattr(module, name, noted)

    note(loaded, "load", lambda *_: "load")
    note(openings, "record", lambda *_: "opened")
    note(variant, "read_split", lambda _ctx, _dataset, split: split)
    note(scoring, "label_logp", lambda *_: "scored")
    body(world.context(run))
    assert list(dict.fromkeys(seen)) == ["train", "load", "opened", "test", "scored"]
    assert seen.count("load") == seen.count("opened") == 1


def test_an_adapter_that_cannot_be_loaded_opens_nothing(world, monkeypatch):
    monkeypatch.setattr(variant, "read_split", refuse_test(variant.read_split))

    def broken(*_):
        raise DataError("The adapter holds NaN or Inf; train it again.")

    monkeypatch.setattr(loaded, "load", broken)
    with pytest.raises(DataError, match="NaN or Inf"):
        body(world.context(world.run()))
    assert openings.count(world.store, "invented") == 0


def test_an_engine_that_is_not_here_opens_nothing(world, monkeypatch):
    monkeypatch.setattr(variant, "read_split", refuse_test(variant.read_split))
    with pytest.raises(SetupError, match="needs vLLM"):
        body(world.context(world.run("vllm")))
    assert openings.count(world.store, "invented") == 0


def refuse_test(real):
    def read(ctx, dataset, split):
        assert split != "test"
        return real(ctx, dataset, split)

    return read
