"""Texts to packed ids by a tokenizer's plain BPE: in pieces that are each encoded once, or as a whole.

In pieces one core is three times as fast and more (pieces.py). Where pieces may be cut is known of Llama's pattern;
what another tokenizer makes of a text is left to it.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How the tokenizers of Llama 3 cut a text into words."""

Encode = Callable[[Sequence[str]], list[bytes]]
"""The ids of each text, packed."""

_ID_BYTES = 4


def plain(tokenizer: Tokenizer) -> Tokenizer:
    """The same BPE without any added token.

    Guarding special tokens alone (`split_special_tokens`) is not enough: the DeepSeek tokenizer lists <｜Assistant｜>
    and <think> as added tokens that are not special.
    """
    from tokenizers import Tokenizer

    bare = Tokenizer(tokenizer.model)
    bare.pre_tokenizer = tokenizer.pre_tokenizer
    if tokenizer.normalizer is not None:
        bare.normalizer = tokenizer.normalizer
    return bare


def whole(tokenizer: Tokenizer, texts: Sequence[str]) -> list[bytes]:
    """The ids of each text as a tokenizer gives them, packed."""
    return [pack(each.ids) for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def encoder(tokenizer: Tokenizer) -> Encode:
    """`whole` of `tokenizer`, which has no added tokens; what it has seen before is not encoded again."""
    if not cuts_as_llama(tokenizer):
        return partial(whole, tokenizer)
    from fingpt.prompts.pieces import Pieces  # numpy, which nothing that only submits has

    return Pieces(tokenizer).packed


def pack(ids: Iterable[int]) -> bytes:
    """Ids as 32-bit numbers of this machine."""
    return array("i", ids).tobytes()


def unpack(packed: bytes) -> tuple[int, ...]:
    """Packed ids as Python's numbers."""
    return tuple(array("i", packed))


def count(packed: bytes) -> int:
    """How many ids are packed."""
    return len(packed) // _ID_BYTES


def is_first_alone(number: int, packed: bytes) -> bool:
    """Whether an id is the first of those that are packed, and none of the others."""
    import numpy as np  # not on top: nothing that only submits has it

    (places,) = np.nonzero(np.frombuffer(packed, np.int32) == number)
    return places.tolist() == [0]


def cuts_as_llama(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer cuts by LLAMA_PATTERN and encodes what is cut as it stands."""
    if tokenizer.normalizer is not None or tokenizer.pre_tokenizer is None:
        return False
    # The file's words, without its vocabulary.
    stated = json.loads(tokenizer.pre_tokenizer.__getstate__())
    split, *others = stated.get("pretokenizers", [stated])
    wanted = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    return (
        split.get("pattern") == {"Regex": LLAMA_PATTERN}
        and (split["behavior"], split["invert"]) == ("Isolated", False)
        and len(others) == 1
        and wanted.items() <= others[0].items()
    )
