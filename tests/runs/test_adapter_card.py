"""What lies beside a collected adapter: template, tokenizer reference and card, all from the run's records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from fingpt import log
from fingpt.errors import ConfigError
from fingpt.models import MODELS, spec
from fingpt.prompts.families import chat_template
from fingpt.runs.adapter_card import Origin, companions
from fingpt.runs.collect import collect
from fingpt.runs.manifest import (
    EvalManifest,
    StageManifest,
    TrainManifest,
    ValidationScores,
    decode,
)
from fingpt.runs.run import Stage, complete_key
from tests.made_run import MODEL, MadeRun


@pytest.fixture
def made(store, tmp_path) -> MadeRun:
    return MadeRun(store, tmp_path)


def adapter_of(folder):
    return folder / "train" / "adapter"


def test_the_template_and_the_tokenizer_are_those_of_the_training(made, store, tmp_path):
    made.whole()
    adapter = adapter_of(collect(store, made.id, tmp_path / "out", adapter=True))
    assert (adapter / "chat_template.jinja").read_text("utf-8") == chat_template(spec(MODEL))
    assert json.loads((adapter / "tokenizer_reference.json").read_bytes()) == {
        "base_model": spec(MODEL).base,
        "revision": spec(MODEL).revision,
        "file": "tokenizer.json",
        "sha256": decode(
            TrainManifest, store.read(complete_key(made.id, Stage.TRAIN)), ""
        ).tokenizer_sha256,
    }


def test_the_card_names_base_data_set_metrics_licence_and_how_to_load(made, store, tmp_path):
    made.whole()
    adapter = adapter_of(collect(store, made.id, tmp_path / "out", adapter=True))
    text = (adapter / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "base_model": spec(MODEL).base,
        "base_model_revision": spec(MODEL).revision,
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "mit",
        "tags": ["lora"],
    }
    for word in (made.id, made.dataset, "24 train, 20 test", made.run.config.sha256):
        assert word in body
    for word in ("| accuracy, all rows | 1.0000 |", "1/1", "## Licence", "PeftModel"):
        assert word in body
    assert "--chat-template chat_template.jinja" in body


def test_every_model_of_the_table_has_a_licence_that_its_adapters_carry():
    for model in MODELS.values():
        assert model.licence
        assert model.terms.endswith(".")


def test_a_card_from_before_eval_or_by_a_person_is_kept_and_that_is_said(
    made, store, tmp_path, capsys
):
    log.setup()
    made.prep()
    made.train()
    card = adapter_of(collect(store, made.id, tmp_path / "out", adapter=True)) / "README.md"
    assert "Not evaluated yet." in card.read_text("utf-8")
    made.eval()
    before = card.read_bytes()
    collect(store, made.id, tmp_path / "out", adapter=True)
    assert card.read_bytes() == before
    assert "remove it to have it written anew" in capsys.readouterr().err
    card.unlink()
    collect(store, made.id, tmp_path / "out", adapter=True)
    assert "| accuracy, all rows |" in card.read_text("utf-8")


def test_another_template_is_never_overwritten(made, store, tmp_path):
    made.whole()
    theirs = adapter_of(tmp_path / "out") / "chat_template.jinja"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(ConfigError, match=r"chat_template\.jinja is there already"):
        collect(store, made.id, tmp_path / "out", adapter=True)
    assert theirs.read_text() == "mine"


def test_a_template_that_was_not_trained_with_is_not_given_out(made, store, tmp_path, capsys):
    log.setup()
    made.prep()
    made.train(template_sha256="0" * 64)
    adapter = adapter_of(collect(store, made.id, tmp_path / "out", adapter=True))
    assert not (adapter / "chat_template.jinja").exists()
    assert "another version" in (adapter / "README.md").read_text("utf-8")
    assert "another chat template" in capsys.readouterr().err


def test_a_folder_may_be_the_one_that_one_stands_in(made, store, tmp_path, monkeypatch):
    made.prep()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    collect(store, made.id, Path(), adapter=False)
    assert (tmp_path / "here" / "run.json").is_file()


def test_the_card_of_a_trial_says_that_the_test_was_not_opened(made, store):
    made.prep()
    made.train()
    key = complete_key(made.id, Stage.TRAIN)
    train = decode(TrainManifest, store.read(key), key)
    found = ValidationScores(
        n=40, weeks=4, loss=1.25, label_log_loss=2.4, label_log_loss_as_scored=3.0, seconds={}
    )
    evaluation = EvalManifest(
        **train.model_dump(include=set(StageManifest.model_fields)),
        dataset=train.dataset,
        adapter_sha256="a",
        base_sha256="b",
        decoding={},
        scores={},
        split="validation",
        validation=found,
        files=(),
    )
    card = companions(Origin(made.run, train, None, evaluation))["README.md"].decode()
    assert "On 40 validation rows of 4 weeks" in card
    assert "the test split was not opened" in card
    assert "| loss, nats per answer token | 1.2500 |" in card
