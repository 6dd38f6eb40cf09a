"""RunConfig: strict loading, overrides, cross-field rules, identity."""

import socket
from pathlib import Path

import pytest

from fingpt.config import RunConfig, load_config, parse_config, pod_and_node, read_environment
from fingpt.errors import ConfigError

CONFIGS = Path(__file__).parent.parent / "jobs" / "configs"


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_loads_and_is_named_after_its_model(path):
    assert path.stem.removeprefix("seed-repro-") == load_config(path).model


def test_an_override_replaces_one_value_and_keeps_the_rest(tmp_path):
    path = write(tmp_path, "model: llama31\ntrain: {epochs: 3}\n")
    config = load_config(path, ["train.lr=1e-4", "train.lora.r=4", "prep.limit=null"])
    assert (config.train.lr, config.train.lora.r, config.train.epochs) == (1e-4, 4, 3.0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lrr=1", ["train.lrr", "did you mean 'lr'"]),
        ("trian.lr=1", ["trian", "did you mean 'train'"]),
        ("train.lora.rank=8", ["train.lora.rank", "no setting"]),
        ("train.lr=-1e-4", ["train.lr", "-0.0001", "greater than 0"]),
        ("train.lr=fast", ["train.lr", "'fast'", "number"]),
        ("train.lr=nan", ["train.lr"]),
        ("train.epochs=inf", ["train.epochs"]),
        ("model=lama31", ["lama31", "did you mean 'llama31'"]),
        ("train.lora.targets=[q_proj, o_porj]", ["o_porj", "o_proj"]),
        ("train.lr", ["train.lr", "must look like"]),
        ("train.lr.x=1", ["train.lr", "is a value"]),
        ("train.optimizer=zero_one_adam", ["zero_stage=0"]),
        ("prep.split=random", ["allow_leaky_split"]),
        ("train.precision=fp16", ["loss scaling"]),
        ("prep.limit=0", ["prep.limit"]),
        ("seed=-1", ["seed"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(tmp_path, override, words):
    path = write(tmp_path, "model: llama31\ntrain: {lr: 1e-4}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, [override])
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.exit_code == 64


def test_zero_one_adam_is_refused_with_one_rank_and_taken_with_two():
    train = {"optimizer": "zero_one_adam", "zero_stage": 0}
    with pytest.raises(ConfigError, match="drops most"):
        parse_config({"model": "llama31", "train": train}, "here")
    config = parse_config({"model": "llama31", "train": {**train, "processes": 2}}, "here")
    assert config.train.optimizer == "zero_one_adam"


def test_an_unknown_configuration_names_the_nearest_file():
    with pytest.raises(ConfigError, match="did you mean 'tiny-llama31'"):
        load_config(CONFIGS / "tiny-lama31.yaml")


@pytest.mark.parametrize("text", ["model: [", "- a\n- b\n", ""])
def test_a_file_that_is_no_mapping_is_one_sentence(tmp_path, text):
    with pytest.raises(ConfigError, match="mine"):
        load_config(write(tmp_path, text))


def test_equal_configurations_hash_equal_and_any_change_changes_the_hash():
    one = RunConfig(model="llama31")
    again = parse_config({"model": "llama31", "train": {"lr": 2e-4}}, "here")
    other = parse_config({"model": "llama31", "train": {"lr": 1e-4}}, "here")
    assert one.sha256 == again.sha256 != other.sha256


def test_the_report_s_own_settings_are_reproduced():
    config = load_config(CONFIGS / "seed-repro-llama31.yaml")
    train = config.train
    assert (train.lora.r, train.lora.alpha, train.lora.dropout) == (8, 16, 0.1)
    assert len(train.lora.targets) == 7
    assert (train.lr, train.epochs, train.weight_decay) == (5e-5, 5, 0.01)
    assert train.batch_size * train.accumulation * train.processes == 16


def test_the_site_comes_from_the_environment_and_not_from_the_run(monkeypatch, tmp_path):
    monkeypatch.setenv("FINGPT_STORE", "s3://bucket/prefix")
    monkeypatch.setenv("FINGPT_CACHE", str(tmp_path))
    site = read_environment()
    assert (site.store, site.cache) == ("s3://bucket/prefix", tmp_path)
    monkeypatch.delenv("FINGPT_STORE")
    monkeypatch.chdir(tmp_path)
    assert read_environment().store == (tmp_path / "store").as_uri()


def test_the_hub_s_token_is_a_variable_or_else_a_file(tmp_path, monkeypatch):
    path = tmp_path / "token"
    path.write_text("hf_file\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(path))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert read_environment().hub_token.get_secret_value() == "hf_file"
    monkeypatch.setenv("HF_TOKEN", "hf_variable")
    assert read_environment().hub_token.get_secret_value() == "hf_variable"
    monkeypatch.delenv("HF_TOKEN")
    path.unlink()
    assert read_environment().hub_token is None


def test_a_pod_of_ours_knows_its_node_and_another_place_is_its_own_node(monkeypatch):
    host = socket.gethostname()
    monkeypatch.delenv("FINGPT_NODE", raising=False)
    assert pod_and_node() == ("", host)
    monkeypatch.setenv("FINGPT_NODE", "gpu-1")
    assert pod_and_node() == (host, "gpu-1")
