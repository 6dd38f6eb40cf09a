"""Texts to ids by their words: each is encoded once, however many texts it stands in.

A byte-level BPE encodes what its pattern cuts piece by piece, so the ids of a text are those of its words one after the
other. The library cuts, copies and looks up every word of every text anew, which is nine tenths of its time. Only
Llama's pattern is known here to cut a word alone as it does inside a text; other tokenizers encode whole texts, and so
do machines of many cores, all of which the library uses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How the tokenizers of Llama 3 cut a text into words."""

_FEW_CORES = 4  # one core makes 2.7 times the rows of one of the library's
_MOST_WORDS = 200_000  # in memory: several times what a large data set has


class Words:
    """The ids of texts by `tokenizer`, which has no added tokens and no normalizer; `cores` are this machine's."""

    def __init__(self, tokenizer: Tokenizer, cores: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self._alike: dict[str, bool] = {}
        self._pattern = None
        if (cores or os.cpu_count() or 1) <= _FEW_CORES and _cuts_as_llama(tokenizer):
            import regex

            self._pattern = regex.compile(LLAMA_PATTERN)
            self._ascii_is_alike = all(map(self._is_alike, map(chr, range(128))))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, those that the tokenizer itself gives."""
        if self._pattern is None:
            return self._whole(texts)
        strange = [place for place, text in enumerate(texts) if not self._is_plain(text)]
        words = [self._pattern.findall(text) for text in texts]
        for place in strange:
            words[place] = []
        if len(self._known) > _MOST_WORDS:
            self._known.clear()
        new = list(set(chain.from_iterable(words)).difference(self._known))
        self._known.update(zip(new, self._whole(new), strict=True))
        found = [list(chain.from_iterable(map(self._known.__getitem__, each))) for each in words]
        for place, ids in zip(strange, self._whole([texts[each] for each in strange]), strict=True):
            found[place] = ids
        return found

    def _whole(self, texts: Sequence[str]) -> list[list[int]]:
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [list(each.ids) for each in encoded]

    def _is_plain(self, text: str) -> bool:
        """Whether the tokenizer and our reading of its pattern see the same in each character of a text."""
        return (self._ascii_is_alike and text.isascii()) or all(map(self._is_alike, set(text)))

    def _is_alike(self, char: str) -> bool:
        found = self._alike.get(char)
        if found is None:
            found = self._alike[char] = all(map(self._cuts_alike, _around(char)))
        return found

    def _cuts_alike(self, text: str) -> bool:
        assert self._pattern is not None
        cut = self._tokenizer.pre_tokenizer.pre_tokenize_str(text)
        own = self._pattern.findall(text)
        # Pieces of the tokenizer have a letter for each byte.
        return [len(piece) for piece, _ in cut] == [len(word.encode()) for word in own]


def _around(char: str) -> Iterable[str]:
    """Texts that are cut otherwise when a character is of another class: letter, digit, blank, line's end, other."""
    yield f"a{char}a 1{char}1 1{char}{char}1 .{char}. {char}{char}a  {char} \n{char}\n{char}1\n {char}"
    yield from (f"x'{char}x", f"x'{char}ex", f"x'r{char}x", f"x'l{char}x", f"x'v{char}x")


def _cuts_as_llama(tokenizer: Tokenizer) -> bool:
    if tokenizer.normalizer is not None or tokenizer.pre_tokenizer is None:
        return False
    stated = json.loads(
        tokenizer.pre_tokenizer.__getstate__()
    )  # the file's words, without its vocabulary
    split, *others = stated.get("pretokenizers", [stated])
    wanted = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    return (
        split.get("pattern") == {"Regex": LLAMA_PATTERN}
        and (split["behavior"], split["invert"]) == ("Isolated", False)
        and len(others) == 1
        and wanted.items() <= others[0].items()
    )
