from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

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


def test_files_beside_the_index_are_not_read(tmp_path):
    folder = save(tmp_path, "20KB")
    save_file({"lm_head.weight": torch.zeros(264, 32)}, folder / "zz.safetensors")
    assert load_base(folder, "fp32", ahead=ReadAhead(folder, CPU)).lm_head.weight.any()


def test_a_base_that_cannot_be_read_is_told_as_without_reading_ahead(tmp_path):
    folder = save(tmp_path)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(DataError, match="bring the base weights again"):
        load_base(folder, "fp32", ahead=ReadAhead(folder, CPU))
