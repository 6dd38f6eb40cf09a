"""The backend of this machine: one run for one configuration and code, a stage's exit code becomes the command's."""

import signal

import pytest

from fingpt.config import RunConfig
from fingpt.errors import Interrupted, StageFailedError
from fingpt.models import spec
from fingpt.runs import local
from fingpt.runs.local import LocalBackend
from fingpt.runs.run import Run, Stage, run_key
from fingpt.runs.signals import interrupt_on_signals
from fingpt.weights.base import publish_base


@pytest.fixture
def started(monkeypatch):
    """Names of the processes that would be started, in order."""
    names = []
    monkeypatch.setattr(LocalBackend, "_process", lambda _, name, *__: names.append(str(name)))
    return names


def test_the_first_failing_stage_stops_the_chain_with_its_own_code(store, capfd):
    never_submitted = Run.of(RunConfig(model="llama31"), {})
    with pytest.raises(StageFailedError) as caught:
        LocalBackend(store).execute([never_submitted], [Stage.PREP, Stage.EVAL])
    assert caught.value.exit_code == 66
    said = capfd.readouterr().err
    assert said.count('"level": "error"') == 1


def test_a_run_is_frozen_with_the_digest_of_the_code(store, monkeypatch):
    run = LocalBackend(store).freeze(RunConfig(model="tiny-llama31"))
    assert store.exists(run_key(run.id))
    assert set(run.images) == {"prep", "train", "eval"}
    assert all(image.startswith("local:") for image in run.images.values())
    monkeypatch.setattr(local, "code_digest", lambda _: "0" * 64)
    assert LocalBackend(store).freeze(RunConfig(model="tiny-llama31")).id != run.id


def test_a_whole_run_makes_the_base_of_a_tiny_model_that_is_missing(store, started):
    run = Run.of(RunConfig(model="tiny-llama31"), {})
    assert LocalBackend(store).execute([run], list(Stage)) == run.id
    assert started == ["tiny", "prep", "train", "eval"]
    started.clear()
    LocalBackend(store).execute([run], [Stage.TRAIN])
    publish_base(store, spec("tiny-llama31"), [])
    LocalBackend(store).execute([run], list(Stage))
    assert started == ["train", "prep", "train", "eval"]


def test_several_runs_are_carried_out_one_after_the_other_with_one_base(store, monkeypatch):
    started = []

    def note(_, name, *words):
        started.append((str(name), words[1].split("/")[-2] if name != "tiny" else ""))
        if name == "tiny":
            publish_base(store, spec("tiny-llama31"), [])

    monkeypatch.setattr(LocalBackend, "_process", note)
    runs = [Run.of(RunConfig(model="tiny-llama31", seed=seed), {}) for seed in (1, 2)]
    printed = LocalBackend(store).execute(runs, list(Stage))
    assert printed.splitlines() == [run.id for run in runs]
    stages = [(str(stage), run.id) for run in runs for stage in Stage]
    assert started == [("tiny", ""), *stages]


def test_base_weights_are_made_or_mirrored_by_the_model_s_kind(store, started):
    for model in ("tiny-llama31", "llama31"):
        LocalBackend(store).bring_base(spec(model))
    assert started == ["tiny", "mirror"]


@pytest.mark.slow  # a process that imports torch
def test_a_process_works_on_the_backend_s_store_whatever_the_environment_names(
    store, monkeypatch, capfd
):
    monkeypatch.setenv("FINGPT_STORE", "file:///nonexistent/other")
    publish_base(store, spec("tiny-llama31"), [])
    LocalBackend(store).bring_base(spec("tiny-llama31"))
    assert store.uri in capfd.readouterr().err


def test_the_hub_s_token_reaches_the_mirror_and_no_other_process(store, monkeypatch):
    seen = {}

    class Process:
        def __init__(self, command, env, **_):
            seen[command[2]] = {name: env.get(name) for name in ("HF_TOKEN", "HF_TOKEN_PATH")}

        def wait(self):
            return 0

    monkeypatch.setattr(local.subprocess, "Popen", Process)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    monkeypatch.setenv("HF_TOKEN_PATH", "/x")
    backend = LocalBackend(store)
    backend.bring_base(spec("llama31"))
    backend.bring_base(spec("tiny-llama31"))
    backend.execute([Run.of(RunConfig(model="llama31"), {})], list(Stage))
    assert seen.pop("jobs.mirror") == {"HF_TOKEN": "hf_x", "HF_TOKEN_PATH": "/x"}
    assert set(seen) == {"jobs.tiny", "jobs.prep", "jobs.train", "jobs.eval"}
    assert all(each == {"HF_TOKEN": None, "HF_TOKEN_PATH": None} for each in seen.values())


def test_ctrl_c_while_a_process_starts_ends_that_process_too(store, interrupted_start):
    with interrupt_on_signals(), pytest.raises(Interrupted, match="the same command resumes"):
        LocalBackend(store).bring_base(spec("tiny-llama31"))
    assert [process.poll() for process in interrupted_start] == [-signal.SIGINT]
