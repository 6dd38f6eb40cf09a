"""The real Llama-3 BPE as a fast tokenizer with the special tokens of each family, for tests and GPU runs.

The merge file ships in the package `llama-models` under its own licence; it is read from there and never stored here.
Not a test module: `build(folder, family)` saves a tokenizer folder, `merge_file()` says where the file is.
Run: python tests/llama3_bpe.py FOLDER llama31|deepseek-r1
"""

from __future__ import annotations

import base64
import importlib.util
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FIRST_SPECIAL = 128_000
SPECIAL_COUNT = 256

_SHARED = {
    4: "<|finetune_right_pad_id|>",
    6: "<|start_header_id|>",
    7: "<|end_header_id|>",
    8: "<|eom_id|>",
    9: "<|eot_id|>",
    10: "<|python_tag|>",
}
NAMED = {
    "llama31": {0: "<|begin_of_text|>", 1: "<|end_of_text|>", **_SHARED},
    "deepseek-r1": {
        0: "<｜begin▁of▁sentence｜>",
        1: "<｜end▁of▁sentence｜>",
        **_SHARED,
        11: "<｜User｜>",
        12: "<｜Assistant｜>",
        13: "<think>",
        14: "</think>",
        15: "<｜▁pad▁｜>",
    },
}
# The published DeepSeek tokenizer lists these as added but not special: a library that only guards special tokens
# would still turn them into one id when they appear inside the news.
NOT_SPECIAL = {"<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"}


def merge_file() -> Path | None:
    """The merge file inside the installed package, or None where the package is missing."""
    package = importlib.util.find_spec("llama_models")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "llama3" / "tokenizer.model"
    return path if path.is_file() else None


def _ranks(path: Path) -> dict[bytes, int]:
    pairs = (line.split() for line in path.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _last_merge(ranks: dict[bytes, int], token: bytes) -> tuple[bytes, bytes] | None:
    """The pair whose merge makes `token`: merge its bytes by rank until two parts are left."""
    parts = [token[i : i + 1] for i in range(len(token))]
    limit = ranks[token]
    while len(parts) > 2:
        joined = [ranks.get(a + b, limit) for a, b in pairwise(parts)]
        best = min(joined)
        if best >= limit:
            return None
        at = joined.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


@cache
def _vocabulary_and_merges(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    ranks = _ranks(path)
    table = bytes_to_unicode()

    def text(token: bytes) -> str:
        return "".join(table[byte] for byte in token)

    merges = [
        (text(pair[0]), text(pair[1]))
        for token in ranks
        if len(token) > 1 and (pair := _last_merge(ranks, token)) is not None
    ]
    return {text(token): rank for token, rank in ranks.items()}, merges


def build(folder: Path, family: str) -> Path:
    """Save tokenizer.json of `family` in `folder` and return the folder; FileNotFoundError without the package."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
    )

    path = merge_file()
    if path is None:
        raise FileNotFoundError("The official Llama-3 merges are missing: make merges")
    model = models.BPE(*_vocabulary_and_merges(path))
    model.ignore_merges = True
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    named = NAMED[family]
    tokens = [named.get(i, f"<|reserved_special_token_{i}|>") for i in range(SPECIAL_COUNT)]
    tokenizer.add_tokens(
        [AddedToken(t, special=t not in NOT_SPECIAL, normalized=False) for t in tokens]
    )
    # Like the published file: a plain call puts a BOS in front, the trap of the doubled BOS.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{tokens[0]} $A", special_tokens=[(tokens[0], FIRST_SPECIAL)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


if __name__ == "__main__":
    print(build(Path(sys.argv[1]), sys.argv[2]))
