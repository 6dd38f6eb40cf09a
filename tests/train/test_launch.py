from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from fingpt.config import RunConfig, TrainConfig
from fingpt.errors import DataError, DivergedError, Interrupted, NoSpaceError, TransientError
from fingpt.runs.manifest import TrainSummary
from fingpt.runs.nodes import Node
from fingpt.runs.run import Run
from fingpt.storage.s3_retry import RETRY_SECONDS_WHEN_SIGNALLED
from fingpt.train import launch
from fingpt.train.handoff import Outcome, TrainTask, write_outcome
from fingpt.train.launch import command, environment, run_trainer, trainer_result
from tests.full_disk import full_disk

SUMMARY = TrainSummary(
    steps=1,
    rows=1,
    tokens=9,
    answer_tokens=2,
    trainable_parameters=4,
    train_loss=1.5,
    eval_loss=None,
    eval_split="none",
    dropped_news=0,
    padding_share=0,
    peak_memory_bytes=1,
    resumed=0,
    exactness="bitwise",
)


def task(folder: Path, processes: int = 1, **train) -> TrainTask:
    config = RunConfig(model="tiny-llama31", train=TrainConfig(processes=processes, **train))
    return TrainTask(
        run=Run.of(config, {}),
        store="file:///nowhere",
        folder=folder,
        base=folder,
        data=folder,
        context={},
        attempt=1,
        supervisor=os.getpid(),
    )


def left(folder: Path, *outcomes: Outcome | None) -> TrainTask:
    made = task(folder, len(outcomes))
    for rank, outcome in enumerate(outcomes):
        if outcome is not None:
            write_outcome(made, rank, outcome)
    return made


DONE = Outcome(code=0, summary=SUMMARY)


def test_a_finished_trainer_gives_its_summary(tmp_path):
    assert trainer_result(left(tmp_path, DONE), 0) == SUMMARY


@pytest.mark.parametrize("code", [0, 1, -9])
def test_a_trainer_without_a_word_is_transient_whatever_its_code(tmp_path, code):
    with pytest.raises(TransientError, match="resumes"):
        trainer_result(left(tmp_path, None), code)


def test_a_trainer_that_a_full_disk_left_without_a_word_is_not_called_out_of_memory(tmp_path):
    made = left(tmp_path, None)
    with full_disk():
        write_outcome(made, 0, Outcome(code=70, message="lost"))
        with pytest.raises(NoSpaceError, match=f"No space left for {tmp_path}"):
            trainer_result(made, 1)
    assert not made.outcome(0).exists()


def test_an_unexpected_error_on_a_full_disk_is_no_bug(tmp_path):
    made = left(tmp_path, Outcome(code=1, message="PytorchStreamWriter failed writing file"))
    with full_disk(), pytest.raises(NoSpaceError, match="No space left"):
        trainer_result(made, 1)
    with pytest.raises(RuntimeError, match="PytorchStreamWriter"):
        trainer_result(made, 1)


def test_an_outcome_that_cannot_be_written_is_said_in_the_log(tmp_path, caplog):
    with full_disk():
        write_outcome(task(tmp_path), 0, Outcome(code=70, message="the loss is NaN"))
    assert "File too large): the loss is NaN" in caplog.text


def test_a_missing_rank_is_no_success(tmp_path):
    with pytest.raises(TransientError):
        trainer_result(left(tmp_path, DONE, None), 0)


@pytest.mark.parametrize(("code", "kind"), [(70, DivergedError), (65, DataError)])
def test_a_flattened_exit_code_is_read_from_the_outcome(tmp_path, code, kind):
    with pytest.raises(kind, match="what happened"):
        trainer_result(left(tmp_path, Outcome(code=code, message="what happened")), 1)


def test_the_cause_is_told_before_its_consequences(tmp_path):
    stopped = Outcome(code=143, message="stopped")
    bug = Outcome(code=1, message="connection closed")
    cause = Outcome(code=70, message="NaN")
    with pytest.raises(DivergedError, match="NaN"):
        trainer_result(left(tmp_path, stopped, bug, cause), 1)
    with pytest.raises(RuntimeError, match="connection"):
        trainer_result(left(tmp_path, stopped, bug, stopped), 1)
    with pytest.raises(Interrupted, match="stopped"):
        trainer_result(left(tmp_path, stopped, stopped, DONE), 1)


def test_one_process_sees_one_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert environment(task(tmp_path))["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment(task(tmp_path, 2))["CUDA_VISIBLE_DEVICES"] == "3,5"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert environment(task(tmp_path))["CUDA_VISIBLE_DEVICES"] == "0"


def test_the_trainer_works_offline(tmp_path):
    assert environment(task(tmp_path))["HF_HUB_OFFLINE"] == "1"


def test_several_processes_and_deepspeed_are_started_by_torchrun(tmp_path):
    assert "torch.distributed.run" not in command(task(tmp_path))
    assert "--nproc-per-node=2" in command(task(tmp_path, 2))
    assert "--nproc-per-node=1" in command(task(tmp_path, zero_stage=1))


def waiting(made: TrainTask, reaction: str) -> list[str]:
    """A trainer that says it is up, then waits for the stop file and reacts."""
    code = (
        "import sys, time, pathlib\n"
        f"folder = pathlib.Path({str(made.folder)!r})\n"
        "(folder / 'up').touch()\n"
        "while not (folder / 'stop').exists(): time.sleep(0.01)\n"
        f"{reaction}"
    )
    return [sys.executable, "-c", code]


class Signal:
    """Stands for the frame's signal handler: raises KeyboardInterrupt out of the first wait."""

    def __init__(self, popen):
        self._wait = popen.wait

    def __call__(self, timeout=None):
        if timeout is None and not getattr(self, "sent", False):
            self.sent = True
            raise KeyboardInterrupt("SIGTERM honoured")
        return self._wait(timeout=timeout)


@pytest.mark.parametrize("reaction", ["pass", "time.sleep(60)"])
def test_a_stop_is_passed_on_and_its_wait_has_an_end(tmp_path, monkeypatch, reaction):
    made = task(tmp_path)
    real = launch.subprocess.Popen
    started = []

    def popen(*args, **options):
        process = real(*args, **options)
        started.append(process)
        monkeypatch.setattr(process, "wait", Signal(process))
        return process

    monkeypatch.setattr(launch, "command", lambda task: waiting(task, reaction))
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(launch.subprocess, "Popen", popen)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        run_trainer(made)
    assert made.stop.exists()
    assert started[0].poll() is not None


def test_a_pod_s_grace_period_holds_the_wait_for_a_checkpoint_and_a_retry_of_the_store():
    manifest = yaml.safe_load((Path(__file__).parents[2] / "k8s" / "train.yaml").read_text())
    grace_seconds = manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_seconds >= launch.GRACE_SECONDS + RETRY_SECONDS_WHEN_SIGNALLED + 10


def test_a_signal_that_comes_as_the_trainer_s_end_was_just_collected_is_a_plain_stop(
    tmp_path, monkeypatch
):
    """The kernel has given the exit status away, the signal's exception leaves before anybody has noted it."""
    collect, lost = os.waitpid, []

    def signalled(process: int, options: int) -> tuple[int, int]:
        found = collect(process, options)
        if found[0] and not lost:
            lost.append(process)
            raise KeyboardInterrupt("SIGTERM received")
        return found

    made = left(tmp_path, DONE)
    monkeypatch.setattr(launch, "command", lambda task: [sys.executable, "-S", "-c", "pass"])
    monkeypatch.setattr(os, "waitpid", signalled)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        run_trainer(made)
    assert len(lost) == 1


def test_a_trainer_s_tokenizer_uses_all_cores_whatever_this_process_does(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert environment(task(tmp_path))["TOKENIZERS_PARALLELISM"] == "true"


def test_a_number_of_threads_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", " 08 ")
    assert environment(task(tmp_path))["OMP_NUM_THREADS"] == " 08 "


def test_an_empty_number_of_threads_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", " ")
    assert "OMP_NUM_THREADS" not in environment(task(tmp_path))
    assert environment(task(tmp_path, processes=2))["OMP_NUM_THREADS"] == "1"


def test_compiled_code_goes_to_the_scratch_folder_unless_the_site_names_another(
    tmp_path, monkeypatch
):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"):
        monkeypatch.delenv(name, raising=False)  # importing torch may have set it in this process
        assert Path(environment(task(tmp_path))[name]).is_relative_to(task(tmp_path).folder)
        monkeypatch.setenv(name, "/cache/compiled")
        assert environment(task(tmp_path))[name] == "/cache/compiled"


def test_compiled_code_outlives_the_pod_where_the_task_names_a_cache(tmp_path, monkeypatch):
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"):
        monkeypatch.delenv(name, raising=False)
    kept = tmp_path / "cache" / "compiled"
    monkeypatch.setattr(launch, "compiled_folder", lambda cache, _: cache / "compiled")
    made = environment(task(tmp_path).model_copy(update={"cache": tmp_path / "cache"}))
    assert made["TORCHINDUCTOR_CACHE_DIR"] == str(kept / "inductor")
    assert made["TRITON_CACHE_DIR"] == str(kept / "triton")
    assert made["CUDA_CACHE_PATH"] == str(kept / "cuda")


def test_a_deterministic_training_leaves_no_choice_to_libraries(tmp_path):
    made = environment(task(tmp_path))
    assert made["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert made["TORCHINDUCTOR_DETERMINISTIC"] == "1"
    assert "CUDA_LAUNCH_BLOCKING" not in made


def on_nodes(folder: Path, address: str, rank: int = 1) -> TrainTask:
    made = task(folder, processes=2, nodes=2)
    return made.model_copy(update={"node": Node(rank=rank, count=2, address=address, port=29500)})


def test_on_one_node_nothing_leaves_loopback_and_on_several_only_it_is_left_out(
    tmp_path, monkeypatch
):
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TORCH_NCCL_DUMP_ON_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    for alone in (task(tmp_path, 2), on_nodes(tmp_path, "127.0.0.1")):
        made = environment(alone)
        assert (made["GLOO_SOCKET_IFNAME"], made["NCCL_SOCKET_IFNAME"]) == ("lo", "=lo")
        assert "TORCH_NCCL_DUMP_ON_TIMEOUT" not in made
    made = environment(on_nodes(tmp_path, "run-train-node-0-0.run-train"))
    assert "GLOO_SOCKET_IFNAME" not in made
    assert made["NCCL_SOCKET_IFNAME"].startswith("^lo")
    assert made["TORCH_NCCL_DUMP_ON_TIMEOUT"] == "1"
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "=ib0")
    assert environment(on_nodes(tmp_path, "first"))["NCCL_SOCKET_IFNAME"] == "=ib0"


def test_the_launcher_of_a_node_waits_for_no_other_whatever_a_trainjob_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PET_NNODES", "2")
    made = on_nodes(tmp_path, "first")
    assert not [name for name in environment(made) if name.startswith("PET_")]
    assert {"--nnodes=1", "--nproc-per-node=2", "--max-restarts=0"} <= {*command(made)}


def test_a_node_reads_the_outcomes_of_its_own_ranks_alone(tmp_path):
    made = on_nodes(tmp_path, "first")
    assert list(made.own_ranks) == [2, 3]
    write_outcome(made, 0, Outcome(code=70, message="of another node"))
    for rank in made.own_ranks:
        write_outcome(made, rank, DONE)
    assert trainer_result(made, 0) == SUMMARY


@pytest.fixture
def sleeper(monkeypatch):
    """Trainers that sleep."""
    words = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(launch, "command", lambda _: list(words))


@pytest.mark.usefixtures("sleeper")
def test_trainers_that_wait_for_inputs_end_when_there_will_be_none(tmp_path, monkeypatch):
    started, real = [], launch.subprocess.Popen
    monkeypatch.setattr(
        launch.subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1]
    )
    with launch.EarlyTrainer(task(tmp_path)):
        assert started[0].poll() is None
    assert started[0].poll() == -signal.SIGKILL


@pytest.mark.usefixtures("sleeper")
def test_a_trainer_that_was_taken_is_run_to_its_end_and_not_started_again(tmp_path, monkeypatch):
    with launch.EarlyTrainer(task(tmp_path)) as early:
        process = early.take()
        assert early.take() is None
    assert process.poll() is None, "the block has ended what was taken"
    monkeypatch.setattr(launch.subprocess, "Popen", lambda *_, **__: pytest.fail("a second one"))
    process.kill()
    with pytest.raises(TransientError, match="signal 9"):
        run_trainer(task(tmp_path), process)


@pytest.mark.usefixtures("sleeper")
def test_deepspeed_and_several_nodes_start_with_their_task(tmp_path):
    for made in (task(tmp_path, zero_stage=2), on_nodes(tmp_path, "localhost")):
        with launch.EarlyTrainer(made) as early:
            assert early.take() is None
