"""An adapter that plain peft made elsewhere: evaluated as one of ours, verified, collected, and said to be foreign."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from fingpt.config import EvalConfig, RunConfig
from fingpt.errors import ConfigError, DataError
from fingpt.eval import foreign
from fingpt.eval.foreign import CONFIG, WEIGHTS, freeze_adapter
from fingpt.eval.stage import body
from fingpt.record import sha256_bytes
from fingpt.report.chosen import newest_runs
from fingpt.report.inputs import read_runs
from fingpt.runs import openings
from fingpt.runs.collect import collect
from fingpt.runs.manifest import PrepManifest, encode
from fingpt.runs.run import Run, Stage, complete_key, dataset_manifest_key, run_key
from fingpt.runs.state import read_run
from fingpt.runs.verify import LinkStatus, verify
from tests.eval.invented import MODEL

SETTINGS = EvalConfig(batch_size=3, max_new_tokens=8)


@pytest.fixture
def theirs(adapter_folder, tmp_path):
    """What peft's save_pretrained wrote, for a base at a path of another machine."""
    folder = tmp_path / "from elsewhere"
    shutil.copytree(adapter_folder, folder)
    return folder


def submit(world, theirs) -> Run:
    """A run on that adapter, whose prep is complete."""
    evaluation = SETTINGS.model_copy(update={"adapter": str(theirs)})
    config = freeze_adapter(
        world.store, RunConfig(model=MODEL.key, eval=evaluation), lambda *_: None
    )
    run = Run.of(config, {})
    world.store.create(run_key(run.id), run.encode())
    prep = PrepManifest(
        run=run.id,
        stage="prep",
        config_sha256=run.config.sha256,
        image="",
        inputs={},
        finished_at="",
        dataset="invented",
        dataset_sha256=sha256_bytes(world.store.read(dataset_manifest_key("invented"))),
    )
    world.store.create(complete_key(run.id, Stage.PREP), encode(prep))
    return run


def evaluate(world, run):
    manifest = body(world.context(run, f"scratch-{run.id}"))
    world.store.create(complete_key(run.id, Stage.EVAL), encode(manifest))
    return manifest


def test_it_answers_as_it_does_where_it_was_trained(world, theirs):
    ours = evaluate(world, world.run())
    run = submit(world, theirs)
    found = evaluate(world, run)
    for name in ("base", "tuned"):
        for field in ("loss", "train_loss", "truncated", "strict", "robust"):
            assert getattr(found.scores[name], field) == getattr(ours.scores[name], field)
    assert found.scores["base"].loss != found.scores["tuned"].loss
    assert found.base_sha256 == ours.base_sha256
    assert found.inputs[f"{run.config.eval.adapter}/manifest.json"]
    assert [text for text in found.warnings if "trained elsewhere" in text]
    assert not [text for text in ours.warnings if "trained elsewhere" in text]


def test_its_run_is_complete_without_a_training_and_can_be_verified_and_collected(
    world, theirs, tmp_path
):
    run = submit(world, theirs)
    evaluate(world, run)
    assert read_run(world.store, run.id).complete
    links = verify(world.store, run.id, deep=True, on_link=lambda _: None)
    wrong = [link for link in links if link.status not in (LinkStatus.OK, LinkStatus.SKIPPED)]
    assert wrong == []
    assert f"{run.config.eval.adapter}/adapter/{WEIGHTS}" in {link.key for link in links}
    out = collect(world.store, run.id, tmp_path / "out", adapter=True)
    assert (out / "eval" / "scores.parquet").is_file()

    path = tmp_path / "store" / str(run.config.eval.adapter) / "adapter" / WEIGHTS
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    links = verify(world.store, run.id, deep=True, on_link=lambda _: None)
    assert LinkStatus.DAMAGED in {link.status for link in links if WEIGHTS in link.key}


def test_a_comparison_leaves_it_out_and_says_why_when_it_is_named(world, theirs):
    run = submit(world, theirs)
    evaluate(world, run)
    with pytest.raises(ConfigError, match=f"trained elsewhere.*make collect RUN={run.id}"):
        read_runs(world.store, [run.id])
    ours = world.run()
    evaluate(world, ours)
    assert newest_runs(world.store) == [ours.id]


def altered(theirs, how: str) -> None:
    """The adapter as one of a deeper, shallower or wider base, or with a number that is none."""
    saved = load_file(theirs / WEIGHTS)
    if how == "deeper":
        more = {n.replace("layers.1.", "layers.2."): t for n, t in saved.items() if ".1." in n}
        saved |= {name: tensor.clone() for name, tensor in more.items()}
    elif how == "shallower":
        saved = {name: tensor for name, tensor in saved.items() if ".0." in name}
    elif how == "wider":
        saved = {n: (t.repeat(1, 2) if "lora_A" in n else t) for n, t in saved.items()}
    else:
        next(iter(saved.values()))[0, 0] = float(how)
    save_file({name: tensor.contiguous() for name, tensor in saved.items()}, theirs / WEIGHTS)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("deeper", "is for 3 layers, and the base has 2"),
        ("shallower", "is for 1 layers, and the base has 2"),
        ("wider", r"lora_A of down_proj in layer 0 has the shape \[2, 64\], and the base has 32"),
        ("nan", "holds NaN or Inf"),
        ("-inf", "holds NaN or Inf"),
    ],
)
def test_weights_that_do_not_fit_the_base_or_are_no_numbers_are_not_frozen(
    world, theirs, how, words
):
    altered(theirs, how)
    with pytest.raises(DataError, match=words):
        submit(world, theirs)
    assert not list(world.store.keys("adapters/"))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("deeper", "other layers than its base"),
        ("shallower", "other layers than its base"),
        ("wider", "does not fit the base"),
    ],
)
def test_weights_that_were_frozen_before_the_base_came_are_refused_and_the_test_stays_closed(
    world, theirs, monkeypatch, how, words
):
    monkeypatch.setattr(foreign, "read_sizes", lambda *_: None)
    altered(theirs, how)
    with pytest.raises(DataError, match=words):
        body(world.context(submit(world, theirs)))
    assert openings.count(world.store, "invented") == 0


def test_what_was_swapped_in_the_store_is_not_evaluated(world, theirs):
    run = submit(world, theirs)
    folder = world.folder / "store" / str(run.config.eval.adapter) / "adapter"
    settings = json.loads((folder / CONFIG).read_bytes())
    (folder / CONFIG).chmod(0o644)
    (folder / CONFIG).write_text(json.dumps({**settings, "target_modules": "(a+)+$"}))
    with pytest.raises(Exception, match=CONFIG.replace(".", r"\.")):
        body(world.context(run))
