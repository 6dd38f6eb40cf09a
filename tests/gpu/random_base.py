"""Random base weights of a model's real 8B shape in the store, to measure a GPU machine that cannot reach the hub.

Speed, memory and agreement between launchers do not depend on what the weights are; answers and losses do, so nothing
made from these weights says anything about forecasting.

    python -m tests.gpu.random_base --model llama31 --tokenizer folder/with/tokenizer.json [--layers 32] [--folder F]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fingpt import log
from fingpt.config import read_environment
from fingpt.models import spec
from fingpt.runs.manifest import BaseManifest, encode
from fingpt.runs.run import base_manifest_key
from fingpt.storage import open_store, upload_tree
from tests.bench.paths import a_folder

LLAMA_31_8B = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "tie_word_embeddings": False,
}


def make_base(folder: Path, tokenizer: Path, layers: int = 32) -> None:
    """A base in `folder`, made on the GPU where there is one, with the files of `tokenizer`."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(
            LlamaConfig(num_hidden_layers=layers, dtype="bfloat16", **LLAMA_31_8B)
        )
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder, max_shard_size="1GB")
    del model
    torch.cuda.empty_cache()
    for file in tokenizer.iterdir():
        if file.suffix == ".json" and not (folder / file.name).exists():
            shutil.copy(file, folder / file.name)


def main() -> None:
    """Make the weights, and upload them with their manifest, or leave them in a folder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", type=a_folder, required=True)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    log.setup()
    if arguments.folder:
        make_base(arguments.folder, arguments.tokenizer, arguments.layers)
        return
    model_spec = spec(arguments.model)
    store = open_store(read_environment().store)
    if store.exists(base_manifest_key(model_spec.base_prefix)):
        return
    folder = Path(tempfile.mkdtemp(prefix="random-base-"))
    make_base(folder, arguments.tokenizer, arguments.layers)
    total = sum(path.stat().st_size for path in folder.rglob("*"))
    with log.progress("upload", total) as meter:
        files = upload_tree(store, folder, model_spec.base_prefix, meter)
    manifest = BaseManifest(base=model_spec.base, revision=model_spec.revision, files=files)
    store.create(base_manifest_key(model_spec.base_prefix), encode(manifest))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
