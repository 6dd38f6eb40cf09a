from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from fingpt import log
from fingpt.errors import DataError
from fingpt.train.model import load_base
from fingpt.train.read_ahead import ReadAhead
from tests.train.small_llama import tuned_llama

CPU = torch.device("cpu")


def save(folder, size="1GB"):
    base = tuned_llama(2).unload()
    base.save_pretrained(folder, max_shard_size=size)
    return folder


@pytest.mark.parametrize("size", ["1GB", "20KB"])
def test_a_base_that_was_read_ahead_is_the_one_that_transformers_loads(tmp_path, size):
    folder = save(tmp_path, size)
    assert (len(list(folder.glob("*.safetensors"))) > 1) == (size == "20KB")
    plain = load_base(folder, "fp32")
    ahead = load_base(folder, "fp32", ahead=ReadAhead(folder, CPU))
    wanted, found = plain.state_dict(), ahead.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    ids = torch.arange(20)[None]
    assert torch.equal(ahead(ids).logits, plain(ids).logits)
    assert type(ahead) is type(plain)
    assert ahead.training == plain.training


def test_it_takes_the_precision_of_the_run(tmp_path):
    folder = save(tmp_path)
    assert load_base(folder, "bf16", ahead=ReadAhead(folder, CPU)).dtype == torch.bfloat16


def test_tied_weights_are_one_tensor_as_without_reading_ahead(tmp_path):
    base = tuned_llama(2).unload()
    base.config.tie_word_embeddings = True
    base.tie_weights()
    base.save_pretrained(tmp_path)
    found = load_base(tmp_path, "fp32", ahead=ReadAhead(tmp_path, CPU))
    assert found.lm_head.weight is found.model.embed_tokens.weight
    ids = torch.arange(20)[None]
    assert torch.equal(found(ids).logits, load_base(tmp_path, "fp32")(ids).logits)


def test_a_base_that_lacks_a_weight_is_refused_and_not_invented(tmp_path):
    folder = save(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"no weights for model\.layers\.1\.mlp\.up_proj\.weight"):
        load_base(folder, "fp32", ahead=ReadAhead(folder, CPU))


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = save(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.ones(8)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="bring the base weights again"):
        load_base(folder, "fp32", ahead=ReadAhead(folder, CPU))


def test_how_long_reading_took_and_was_waited_for_is_told(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(log, "event", lambda name, **fields: told.append((name, fields)))
    ahead = ReadAhead(save(tmp_path), CPU)
    ahead.tensors()
    assert ahead.tensors() == {}
    ((name, fields),) = told
    assert name == "weights read"
    assert 0 <= fields["waited"] <= fields["seconds"] + 0.1


def test_files_beside_the_index_are_not_read(tmp_path):
    folder = save(tmp_path, "20KB")
    save_file({"lm_head.weight": torch.zeros(264, 32)}, folder / "zz.safetensors")
    assert load_base(folder, "fp32", ahead=ReadAhead(folder, CPU)).lm_head.weight.any()


def test_a_base_that_cannot_be_read_is_told_as_without_reading_ahead(tmp_path):
    folder = save(tmp_path)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(DataError, match="bring the base weights again"):
        load_base(folder, "fp32", ahead=ReadAhead(folder, CPU))
