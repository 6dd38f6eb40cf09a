from __future__ import annotations

from pathlib import Path

import pytest

from fingpt.config import TrainConfig
from fingpt.errors import DataError
from fingpt.train.engine import deepspeed_config, plan_run, trainer_arguments


def arguments(train: TrainConfig, **changes):
    plan = plan_run(train, 100)
    options = {"seed": 1, "cuda": False, "folder": Path("out"), **changes}
    return trainer_arguments(train, plan, "fp32", **options)


def test_steps_are_counted_over_the_global_batch():
    plan = plan_run(TrainConfig(batch_size=2, accumulation=4, processes=2, epochs=2), 100)
    assert (plan.step_rows, plan.steps_per_epoch, plan.total_steps) == (16, 7, 14)
    assert plan.position(1) == (0, 0)
    assert plan.position(8) == (1, 0)


def test_part_of_an_epoch_counts_up_to_whole_steps():
    assert plan_run(TrainConfig(accumulation=10, epochs=0.25), 100).total_steps == 3


def test_max_steps_wins_over_epochs():
    assert plan_run(TrainConfig(accumulation=10, epochs=5, max_steps=7), 100).total_steps == 7


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="empty"):
        plan_run(TrainConfig(), 0)


def test_warm_up_never_takes_the_whole_run():
    assert plan_run(TrainConfig(max_steps=1), 100).warmup_steps == 0
    assert plan_run(TrainConfig(warmup_ratio=1, max_steps=9), 100).warmup_steps == 8


def test_zero_one_adam_warms_up_for_one_step_at_least():
    train = TrainConfig(
        optimizer="zero_one_adam", zero_stage=0, processes=2, warmup_ratio=0, precision="fp16"
    )
    assert plan_run(train, 100).warmup_steps == 1


def test_evaluation_happens_by_share_of_the_run():
    assert plan_run(TrainConfig(accumulation=1, epochs=1, eval_every=0.1), 100).eval_steps == 10
    assert plan_run(TrainConfig(accumulation=10, epochs=1, eval_every=0.01), 100).eval_steps == 1


def test_a_nan_is_never_filtered_out_of_the_log():
    assert arguments(TrainConfig())["logging_nan_inf_filter"] is False


def test_deepspeed_is_off_unless_a_stage_is_named():
    assert deepspeed_config(TrainConfig()) is None
    assert arguments(TrainConfig())["deepspeed"] is None


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_adamw_under_zero_keeps_our_optimizer_and_schedule(stage):
    settings = deepspeed_config(TrainConfig(zero_stage=stage))
    assert settings is not None
    assert settings["zero_optimization"] == {"stage": stage}
    assert "optimizer" not in settings
    assert "scheduler" not in settings


def test_zero_one_adam_has_the_keys_of_the_reference_run():
    train = TrainConfig(optimizer="zero_one_adam", zero_stage=0, processes=2)
    settings = deepspeed_config(train)
    assert settings is not None
    assert settings["optimizer"] == {
        "type": "ZeroOneAdam",
        "params": {
            "lr": "auto",
            "weight_decay": "auto",
            "bias_correction": False,
            "var_freeze_step": 1000,
            "var_update_scaler": 16,
            "local_step_scaler": 1000,
            "local_step_clipper": 16,
            "cuda_aware": True,
            "comm_backend_name": "nccl",
        },
    }
    assert settings["scheduler"]["type"] == "WarmupLR"
    assert "gradient_clipping" not in settings


def test_several_cpu_processes_talk_by_gloo_and_one_by_nothing():
    assert arguments(TrainConfig(processes=2))["ddp_backend"] == "gloo"
    assert arguments(TrainConfig())["ddp_backend"] is None
    assert arguments(TrainConfig(zero_stage=0))["ddp_backend"] == "gloo"
    assert arguments(TrainConfig(processes=2), cuda=True)["ddp_backend"] is None
