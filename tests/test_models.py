"""The model table."""

import re

import pytest

from fingpt.config import load_config
from fingpt.errors import ConfigError
from fingpt.models import MODELS, spec
from fingpt.runs.raw import moves
from jobs import CONFIGS


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'deepseek-r1'"):
        spec("deepseek-r")


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.key)
def test_hub_models_are_pinned_by_commit(model):
    assert model.tiny or re.fullmatch("[0-9a-f]{40}", model.revision)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_rows_of_the_hub_are_pinned_by_commit_in_every_shipped_configuration(path):
    source = load_config(path).prep.source
    assert source == "sample" or (source.startswith("hub:") and not moves(source))


def test_each_tiny_model_has_the_family_and_the_tokens_of_its_big_sister():
    for model in MODELS.values():
        if model.tiny:
            sister = MODELS[model.key.removeprefix("tiny-")]
            assert (model.family, model.stop_tokens) == (sister.family, sister.stop_tokens)
            assert model.pad_token == sister.pad_token
