"""A hub that serves, under the names of both 8B configurations, random weights of two layers and invented rows.

The vocabulary is the real one: Llama-3.1's merges, with the special tokens of each family. Nothing licensed is stored:
the merges are those of an installed package, weights and rows are made here. Widths are a laptop's; a vocabulary of
128,256 makes 16 million parameters of them all the same.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt.config import load_config
from fingpt.models import ModelSpec, spec
from fingpt.runs.freeze import SAMPLE
from fingpt.runs.raw import parse_hub, split_revision
from fingpt.runs.remedy import CONFIGS
from tests import llama3_bpe
from tests.gpu.random_base import LLAMA_31_8B
from tests.hub_server import HubServer

GATED, OPEN = spec("llama31"), spec("deepseek-r1")
ROWS = load_config(CONFIGS / f"{GATED.key}.yaml").prep.source

_SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def hub(address: str) -> HubServer:
    """What to serve at `address`: the rows, the gated model and the open one; FileNotFoundError without the merges."""
    gated = HubServer(GATED.base, GATED.revision, _files(GATED), gated=True)
    return published(address, gated, HubServer(OPEN.base, OPEN.revision, _files(OPEN)))


def published(address: str, *beside: HubServer) -> HubServer:
    """Invented rows under the name and at the commit of the configurations' rows, and more repositories `beside`."""
    name, revision = parse_hub(ROWS)
    commit, folder = split_revision(revision)
    rows = {
        f"{folder}/{split}-00000-of-00001.parquet": (SAMPLE / f"{split}.parquet").read_bytes()
        for split in ("train", "test")
    }
    return HubServer(name, commit, rows, beside=[*beside], kind="datasets", address=address)


def _files(model: ModelSpec) -> dict[str, bytes]:
    """The repository of a model: shards with their index, configuration, tokenizer."""
    with tempfile.TemporaryDirectory(prefix="invented-hub-") as name:
        folder = llama3_bpe.build(Path(name), model.family)
        torch.manual_seed(sum(model.key.encode()))
        config = LlamaConfig(**LLAMA_31_8B | _SMALL, architectures=["LlamaForCausalLM"])
        weights = LlamaForCausalLM(config).to(torch.bfloat16).state_dict()
        config.dtype = "bfloat16"
        config.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
    head = {name: tensor for name, tensor in weights.items() if name == "lm_head.weight"}
    body = {name: tensor for name, tensor in weights.items() if name not in head}
    shards = {f"model-0000{n}-of-00002.safetensors": part for n, part in ((1, body), (2, head))}
    table = {name: shard for shard, part in shards.items() for name in part}
    files["model.safetensors.index.json"] = json.dumps(
        {"metadata": {}, "weight_map": table}
    ).encode()
    return files | {shard: save(part, {"format": "pt"}) for shard, part in shards.items()}
