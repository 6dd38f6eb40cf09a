"""Commands that messages name, followed to the letter: the same run, in the same store."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from fingpt.config import load_config, split_words
from fingpt.errors import MissingInputError, StageFailedError
from fingpt.models import spec
from fingpt.runs.freeze import freeze, freeze_source
from fingpt.runs.local import LocalBackend
from fingpt.runs.manifest import encode
from fingpt.runs.raw import HubRows, hub_key, store_raw
from fingpt.runs.remedy import (
    CONFIGS,
    base_command,
    differences,
    mirror_command,
    stage_command,
)
from fingpt.runs.run import Run
from fingpt.storage import open_store

ROOT = Path(__file__).parents[2]
LOCAL = dict.fromkeys(("prep", "train", "eval"), "local:0")
SETTINGS = [
    [],
    ["prep.limit=7"],
    ["train.lr=1e-4", "train.epochs=1"],
    ["train.lora.targets=[q_proj,v_proj]", "prep.split=calendar", "prep.test_weeks=4"],
    ["prep.allow_leaks.market-cap-canary=it's how they came, 1e-4 of them"],
    ["train.max_steps=3", "eval.include_base=false", "train.deterministic=false", "seed=7"],
]


def given(command: str) -> dict[str, str]:
    """The make variables of a command line, as a shell hands them to make, which hands them on as they are."""
    make, _, *words = shlex.split(command)
    assert make == "make"
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def followed(command: str) -> tuple[dict[str, str], Run]:
    """The run that a command names, frozen into the store that it names, as jobs/submit.py does it."""
    words = given(command)
    overrides = [*split_words(words.get("SET", ""), "SET"), f"prep.source={words['DATA']}"]
    overrides += [f"prep.limit={words['LIMIT']}"] if "LIMIT" in words else []
    config = load_config(CONFIGS / f"{words['MODEL']}.yaml", overrides)
    store = open_store(Path(words["STORE"]).as_uri())
    return words, freeze(store, config, LOCAL)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_the_command_of_a_run_names_that_run_again(name, settings, tmp_path):
    if name.startswith("seed-repro") and "train.max_steps=3" in settings:
        settings = ["train.max_steps=3"]
    store = open_store((tmp_path / "it's my $tore").as_uri())
    config = load_config(CONFIGS / f"{name}.yaml", [*settings, "prep.source=sample"])
    run = freeze(store, config, LOCAL)
    words, again = followed(stage_command(store.uri, "train", run))
    assert words["MODEL"] == name
    assert again == run


def shell(tmp_path: Path, command: str) -> subprocess.CompletedProcess[str]:
    """What a person's shell does with a line, but for the installation that stands before each target."""
    environment = {
        "PATH": os.environ["PATH"],
        "FINGPT_CACHE": str(tmp_path / "cache"),
        "KUBECONFIG": "/nonexistent",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        ["bash", "-c", f"{command} --no-print-directory -o setup"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.mark.slow  # make, submit, and prep as its process
def test_make_itself_and_a_shell_follow_the_command_to_that_run(tmp_path):
    name = "it's my $tore #1"
    store = open_store((tmp_path / name).as_uri())
    settings = ["prep.source=sample", "prep.limit=5", "train.lora.targets=[q_proj,v_proj]"]
    run = LocalBackend(store).freeze(load_config(CONFIGS / "tiny-llama31.yaml", settings))
    done = shell(tmp_path, stage_command(store.uri, "prep", run))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / name / "runs").iterdir()] == [run.id]
    assert (tmp_path / name / "runs" / run.id / "prep" / "COMPLETE.json").is_file()


@pytest.mark.slow  # stages as processes that import torch
@pytest.mark.timeout(300)
def test_what_a_stage_lacks_is_made_by_the_very_command_that_its_message_ends_with(tmp_path):
    """make eval on somebody's rows says what to do; followed line by line, it is about that one run."""
    rows = tmp_path / "rows"
    shutil.copytree(ROOT / "fingpt" / "synthetic" / "sample", rows)
    store = tmp_path / "store"
    line = f"make eval MODEL=tiny-llama31 DATA={rows} LIMIT=5 SET='train.max_steps=2' STORE={store}"
    for target in ("prep", "train", "tiny"):
        done = shell(tmp_path, line)
        assert '"code": 66' in done.stderr, done.stderr
        command = re.findall(rf'(make {target} [^"]*)"', done.stderr)[-1]
        made = shell(tmp_path, command)
        line = line if made.returncode == 0 else command
        (run,) = (store / "runs").iterdir()
    assert (run / "prep" / "COMPLETE.json").is_file()
    assert list((store / "models").rglob("manifest.json"))


def test_a_store_that_is_the_default_is_not_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    uri = (tmp_path / "store").as_uri()
    assert base_command(uri, "llama31") == "make mirror MODEL=llama31"
    assert base_command("s3://b/p", "tiny-llama31") == "make tiny MODEL=tiny-llama31 STORE=s3://b/p"
    assert mirror_command(uri, "tiny-llama31", "hub:a/b@v1") == "make mirror DATA=hub:a/b@v1"


def test_a_command_goes_where_make_was_told_to_go(monkeypatch):
    bucket = "s3://b/p"
    monkeypatch.setenv("FINGPT_ARG_NAMESPACE", "forecasts")
    assert given(base_command(bucket, "llama31")) == {
        "MODEL": "llama31",
        "NAMESPACE": "forecasts",
        "STORE": bucket,
    }
    run = Run.of(load_config(CONFIGS / "tiny-llama31.yaml"), {"prep": "x@sha256:1"})
    assert given(stage_command(bucket, "prep", run))["NAMESPACE"] == "forecasts"
    monkeypatch.setenv("FINGPT_ARG_LOCAL", "1")
    words = given(mirror_command(bucket, "llama31", "hub:a/b@v1"))
    assert (words["LOCAL"], words["STORE"], "NAMESPACE" in words) == ("1", bucket, False)
    assert set(given(base_command("file:///elsewhere", "llama31"))) == {"MODEL", "STORE"}
    monkeypatch.setenv("FINGPT_ARG_LOCAL", "0")
    assert "LOCAL" not in given(base_command(bucket, "llama31"))


def test_a_run_of_this_machine_in_a_bucket_stays_on_it(store):
    config = load_config(CONFIGS / "tiny-llama31.yaml", ["prep.source=raw/0123456789abcdef"])
    assert "LOCAL=1" in stage_command("s3://b", "prep", Run.of(config, LOCAL)).split()
    assert "LOCAL=1" not in stage_command("s3://b", "prep", Run.of(config, {"prep": "x@sha256:1"}))


def test_the_command_of_a_run_of_a_foreign_adapter_names_the_frozen_adapter(store):
    frozen = f"adapters/{'0' * 32}"
    settings = ["prep.source=raw/0123456789abcdef", f"eval.adapter={frozen}", "train.lora.r=4"]
    run = Run.of(load_config(CONFIGS / "tiny-llama31.yaml", settings), LOCAL)
    words = given(stage_command(store.uri, "eval", run))
    assert words["ADAPTER"] == frozen
    assert "SET" not in words


def test_the_mirror_s_command_brings_what_submit_lacked(store, tmp_path):
    """What the command stands for is done by hand here; tests/jobs/test_mirror.py does it by make."""
    config = load_config(CONFIGS / "llama31.yaml")
    with pytest.raises(MissingInputError) as caught:
        freeze_source(store, config)
    words = given(str(caught.value).partition("once: ")[2])
    assert words == {
        "MODEL": "llama31",
        "DATA": config.prep.source,
        "STORE": str(tmp_path / "store"),
    }
    path = tmp_path / "train.jsonl"
    path.write_text("{}")
    raw = store_raw(store, [("train.jsonl", path)])
    rows = HubRows(source=words["DATA"], commit="a" * 40, raw=raw, files=())
    name, _, revision = words["DATA"].removeprefix("hub:").partition("@")
    store.create(hub_key(name, revision or "main"), encode(rows))
    assert freeze_source(store, config).prep.source == raw
    assert spec(words["MODEL"]).key == config.model


def test_a_relayed_command_stays_what_a_shell_can_take():
    said = f"Rows are not there; bring them: {mirror_command('s3://b/p', '', 'hub:a/b')}"
    relayed = str(StageFailedError.of("prep", 66, said))
    assert given(relayed.partition("them: ")[2]) == {"DATA": "hub:a/b", "STORE": "s3://b/p"}


def test_what_a_run_sets_otherwise_than_its_file_leaves_seed_rows_and_origin_out():
    words = ["train.lora.r=8", "prep.limit=40", "seed=7", "prep.source=raw/0123456789abcdef"]
    config = load_config(CONFIGS / "llama31.yaml", words)
    assert differences(config) == "train.lora.r=8 prep.limit=40"
    assert differences(load_config(CONFIGS / "llama31.yaml")) == ""


def test_another_file_of_the_same_model_is_named_where_it_is_nearer():
    config = load_config(CONFIGS / "seed-repro-llama31.yaml", ["train.epochs=1"])
    assert differences(config) == "seed-repro-llama31: train.epochs=1.0"
