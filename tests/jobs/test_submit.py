"""The command line of submit: one sentence and an exit code for every typo."""

import json
from pathlib import Path

import pytest

from fingpt.config import load_config
from fingpt.errors import ConfigError, MissingInputError, RunConflictError
from fingpt.models import spec
from fingpt.runs.backend import Mode
from fingpt.runs.manifest import encode
from fingpt.runs.raw import HubRows, hub_key, parse_hub, store_raw
from fingpt.runs.run import Run, Stage, run_key
from fingpt.runs.stage import finished, load_run
from fingpt.storage import open_store
from fingpt.weights.base import publish_base
from jobs.submit import follows
from tests import warm

ROOT = Path(__file__).parent.parent.parent


def submit(tmp_path, *arguments, store=None, **variables):
    environment = {
        "FINGPT_STORE": store or (tmp_path / "store").as_uri(),
        "FINGPT_CACHE": str(tmp_path / "cache"),
        "PATH": "/usr/bin:/bin",
        **variables,
    }
    return warm.run("jobs.submit", *arguments, env=environment, timeout=300)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["prep", "--model", "lama31"], 64, "did you mean 'llama31'"),
        (["prep", "--model", "llama31", "--set", "train.lrr=1"], 64, "did you mean 'lr'"),
        (["prep", "--model", "llama31", "--set", "train.lr=-1"], 64, "greater than 0"),
        (["prep", "--model", "llama31", "--set", "train.lr=fast"], 64, "'fast'"),
        (["prep", "--model", "llama31", "--limit", "many"], 64, "'many'"),
        (["prep", "--model", "llama31", "--data", "no/such/folder"], 66, "does not exist"),
        (["train", "--model", "llama31", "--set", "eval.adapter=x"], 64, "nothing to train"),
        (
            ["eval", "--model", "llama31", "--set", "eval.adapter=no/folder"],
            66,
            "no folder no/folder",
        ),
        (["eval", "--model", "llama31", "--set", "eval.adapter=hub:a/b"], 64, "with its commit"),
        (["prep", "--model", "llama31", "--set", "seed=1 'x"], 64, "SET cannot be read"),
        (["mirror", "--model", "tiny-llama31"], 64, "make tiny MODEL=tiny-llama31"),
        (["tiny", "--model", "llama31"], 64, "make mirror MODEL=llama31"),
        (["mirror", "--model", "lama31"], 64, "did you mean 'llama31'"),
        (["mirror"], 64, "make mirror MODEL=llama31, or DATA=hub:owner/name"),
        (["mirror", "--data", "my rows"], 64, "DATA='my rows' is not on the hub"),
        (["run", "--model", " "], 64, "Name a model: make run MODEL=tiny-llama31"),
    ],
)
def test_a_typo_is_one_sentence_with_its_exit_code_and_writes_nothing(
    tmp_path, arguments, code, words
):
    done = submit(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert words in json.loads(line)["event"]
    assert not (tmp_path / "store" / "runs").exists()


@pytest.mark.parametrize("verb", ["run", "eval"])
@pytest.mark.parametrize("mode", ["local", "submit"])
def test_an_engine_that_cannot_run_here_is_refused_before_anything_is_prepared(
    tmp_path, verb, mode
):
    done = submit(
        tmp_path, verb, "--model", "tiny-llama31", "--mode", mode, "--set", "eval.engine=vllm"
    )
    assert done.returncode == 78, done.stderr
    assert "eval.engine=vllm needs vLLM, which is not installed here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("seeds", ["three", "0", "-1", "1.5", "101", "2 3"])
def test_seeds_that_are_no_count_are_refused(tmp_path, seeds):
    done = submit(tmp_path, "prep", "--model", "tiny-llama31", FINGPT_ARG_SEEDS=seeds)
    assert done.returncode == ConfigError.exit_code
    (line,) = done.stderr.strip().splitlines()
    assert "is no number of seeds from 1 to 100" in json.loads(line)["event"]


def test_seeds_of_a_foreign_adapter_are_refused(tmp_path):
    words = ["eval", "--model", "tiny-llama31", "--set", "eval.adapter=x"]
    done = submit(tmp_path, *words, FINGPT_ARG_SEEDS="3")
    assert done.returncode == ConfigError.exit_code
    assert "leave SEEDS out" in done.stderr


def test_another_specification_under_the_run_s_id_is_refused(tmp_path):
    first = submit(tmp_path, "eval", "--model", "tiny-llama31")
    assert first.returncode == MissingInputError.exit_code  # nothing to evaluate, but frozen
    store = open_store((tmp_path / "store").as_uri())
    (key,) = [key for key in store.keys("runs/") if key.endswith("run.json")]
    path = tmp_path / "store" / key
    run = Run.decode(path.read_bytes())
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b'"seed":42', b'"seed":43'))
    again = submit(tmp_path, "eval", "--model", "tiny-llama31")
    assert again.returncode == RunConflictError.exit_code
    assert run_key(run.id) in again.stderr


def test_a_store_that_is_no_uri_is_a_usage_error(tmp_path):
    done = submit(tmp_path, "prep", "--model", "tiny-llama31", store="ftp://host/x")
    assert done.returncode == ConfigError.exit_code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["tiny", "--model", "tiny-llama31"], marks=pytest.mark.slow),  # imports torch
        ["mirror", "--model", "llama31"],
    ],
)
def test_base_weights_that_are_in_a_folder_s_store_are_neither_made_nor_fetched_again(
    tmp_path, words
):
    store = open_store((tmp_path / "store").as_uri())
    publish_base(store, spec(words[-1]), [])
    (tmp_path / "train.jsonl").write_text("{}")
    raw = store_raw(store, [("train.jsonl", tmp_path / "train.jsonl")])
    source = load_config(ROOT / "jobs/configs/llama31.yaml").prep.source
    rows = HubRows(source=source, commit="a" * 40, raw=raw, files=())
    store.create(hub_key(*parse_hub(source)), encode(rows))
    done = submit(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert "already in the store" in json.loads(done.stderr.splitlines()[-1])["event"]


@pytest.mark.slow  # three stages as processes
def test_seeds_are_runs_of_their_own_on_one_data_set_that_is_prepared_once(tmp_path):
    words = ["prep", "--model", "tiny-llama31", "--set", "seed=7 prep.limit=5"]
    done = submit(tmp_path, *words, FINGPT_ARG_SEEDS="2")
    assert done.returncode == 0, done.stderr
    store = open_store((tmp_path / "store").as_uri())
    runs = [load_run(store, run_id) for run_id in done.stdout.split()]
    assert [run.config.seed for run in runs] == [7, 8]
    assert len({run.config.prep.source for run in runs}) == 1
    first, second = (finished(store, run, Stage.PREP) for run in runs)
    assert (first.dataset, first.dataset_sha256) == (second.dataset, second.dataset_sha256)
    assert "read" in first.seconds
    assert set(second.seconds) == {"taken_over"}
    again = submit(tmp_path, *words, FINGPT_ARG_SEEDS="2")
    assert again.stdout == done.stdout
    assert again.stderr.count("already complete") == 2


@pytest.mark.parametrize(
    ("follow", "arguments", "words"),
    [
        ("0", [], "processes of this machine"),
        ("0", ["--mode", "wait"], "leave one of them out"),
        ("maybe", [], "FOLLOW=maybe is neither 1 nor 0"),
    ],
)
def test_follow_is_refused_where_it_means_nothing_before_anything_is_frozen(
    tmp_path, follow, arguments, words
):
    done = submit(tmp_path, "run", "--model", "tiny-llama31", *arguments, FINGPT_ARG_FOLLOW=follow)
    assert done.returncode == 64
    assert words in done.stderr
    assert not (tmp_path / "store").exists()


def test_follow_and_wait_say_whether_to_wait():
    said = [("", Mode.SUBMIT), ("0", Mode.SUBMIT), ("1", Mode.SUBMIT), ("", Mode.WAIT)]
    assert [follows(*each) for each in said] == [None, False, True, True]
