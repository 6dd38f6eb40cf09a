"""Texts to ids by their words: each is encoded once, however many texts it stands in.

A byte-level BPE encodes what its pattern cuts piece by piece, so the ids of a text are those of its words one after the
other. The library cuts, copies and looks up every word of every text anew, which is nine tenths of its time. Here a
text is first cut where its pattern always cuts, which takes no pattern to do: before a blank that follows none, and
after a line's end that none follows. What lies between is looked up, and only what was never seen is cut by the
pattern. Only Llama's pattern is known here to cut so; other tokenizers encode whole texts, and so do machines of many
cores, all of which the library uses.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from fingpt.cores import usable_cores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How the tokenizers of Llama 3 cut a text into words."""

_ID_BYTES = 4
_FEW_CORES = 8  # whose threads of the library's make no more than one thread here
_MOST_PIECES = 200_000  # in memory: several times what a large data set has
_JOINED, _BARE = "\0", "\1"
"""A blank that is no cut, and the front of a piece that begins without a blank: all other pieces begin with one."""
_BLANKS = frozenset(
    "\t\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
    "\u202f\u205f\u3000"
)
"""White space but for the blank and the line's end."""
_ASCII_BLANKS = "\t\v\f\r"


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


class Words:
    """The ids of texts by `tokenizer`, which has no added tokens and no normalizer; `cores` are those to be used."""

    def __init__(self, tokenizer: Tokenizer, cores: int | None = None) -> None:
        self._tokenizer = tokenizer
        self._alike: dict[str, bool] = {}
        self._pieces: _Pieces | None = None
        if (cores or usable_cores()) <= _FEW_CORES and cuts_as_llama(tokenizer):
            import regex

            self._cut: Callable[[str], list[str]] = regex.compile(LLAMA_PATTERN).findall
            if all(map(self._is_alike, map(chr, range(128)))):
                self._pieces = _Pieces(self._cut, tokenizer)

    def packed(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of each text, those that the tokenizer itself gives, packed."""
        pieces = self._pieces
        if pieces is None:
            return self._whole(texts)
        if len(pieces) > _MOST_PIECES:
            pieces.clear()
        found, strange = list[bytes](), list[int]()
        for place, text in enumerate(texts):
            blanks = self._other_blanks(text)
            if blanks is None:
                strange.append(place)
                found.append(b"")
            else:
                found.append(b"".join(map(pieces.__getitem__, _pieces_of(text, blanks))))
        for place, ids in zip(strange, self._whole([texts[each] for each in strange]), strict=True):
            found[place] = ids
        return found

    def _whole(self, texts: Sequence[str]) -> list[bytes]:
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [pack(each.ids) for each in encoded]

    def _other_blanks(self, text: str) -> Iterable[str] | None:
        """White space in a text beside blanks and line ends; None for one with a character that tokenizer and pattern
        see differently, or that marks cuts here.
        """
        if _JOINED in text or _BARE in text:
            return None
        if text.isascii():
            return [blank for blank in _ASCII_BLANKS if blank in text]
        chars = set(text)
        return chars & _BLANKS if all(map(self._is_alike, chars)) else None

    def _is_alike(self, char: str) -> bool:
        found = self._alike.get(char)
        if found is None:
            found = self._alike[char] = all(map(self._cuts_alike, _around(char)))
        return found

    def _cuts_alike(self, text: str) -> bool:
        cut = self._tokenizer.pre_tokenizer.pre_tokenize_str(text)
        # Pieces of the tokenizer have a letter for each byte.
        return [len(piece) for piece, _ in cut] == [len(word.encode()) for word in self._cut(text)]


class _Pieces(dict[str, bytes]):
    """Ids of pieces, and of the words that unknown ones are cut into."""

    def __init__(self, cut: Callable[[str], list[str]], tokenizer: Tokenizer) -> None:
        super().__init__()
        self._cut, self._tokenizer = cut, tokenizer
        self._words: dict[str, bytes] = {}

    def __missing__(self, piece: str) -> bytes:
        text = piece[1:] if piece[:1] == _BARE else f" {piece}"
        found = self[piece] = b"".join(map(self._word, self._cut(text.replace(_JOINED, " "))))
        return found

    def _word(self, word: str) -> bytes:
        found = self._words.get(word)
        if found is None:
            if len(self._words) > _MOST_PIECES:
                self._words.clear()
            ids = self._tokenizer.encode(word, add_special_tokens=False).ids
            found = self._words[word] = pack(ids)
        return found


def _pieces_of(text: str, blanks: Iterable[str]) -> list[str]:
    """A text cut before each blank that follows no white space, and after each line's end that none follows.

    No alternative of the pattern goes on after such a place: a blank is only ever the first of a word or stands in a
    run of white space, and a line's end is the last of one.
    """
    marked = text.replace("  ", f" {_JOINED}").replace("\n ", f"\n{_JOINED}")
    for blank in blanks:
        marked = marked.replace(f"{blank} ", f"{blank}{_JOINED}")
    marked = marked.replace(f"{_JOINED} ", _JOINED * 2).replace("\n", f"\n {_BARE}")
    for after in ("\n", _JOINED, *blanks):
        marked = marked.replace(f" {_BARE}{after}", after)
    return f"{_BARE}{marked}".split(" ")


def _around(char: str) -> Iterable[str]:
    """Texts that are cut otherwise when a character is of another class: letter, digit, blank, line's end, other."""
    yield f"a{char}a 1{char}1 1{char}{char}1 .{char}. {char}{char}a  {char} \n{char}\n{char}1\n {char}"
    yield from (f"x'{char}x", f"x'{char}ex", f"x'r{char}x", f"x'l{char}x", f"x'v{char}x")


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
    wanted = pack((number,))
    # Bytes of two neighbours may look like it.
    alone = packed.count(wanted) == 1 or unpack(packed).count(number) == 1
    return packed.startswith(wanted) and alone


class Numbers:
    """`unpack` of many texts, which share one object of each number: their own would take five times the memory."""

    def __init__(self) -> None:
        self._known = _objects(1 << 17)

    def of(self, packed: bytes) -> tuple[int, ...]:
        """The ids of one."""
        import numpy as np

        ids = np.frombuffer(packed, np.int32)
        if len(ids) and (most := int(ids.max())) >= len(self._known):
            self._known = _objects(most + 1)
        return tuple(self._known[ids].tolist())


def _objects(count: int) -> NDArray[np.object_]:
    import numpy as np

    return np.arange(count).astype(object)


def cuts_as_llama(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer cuts by LLAMA_PATTERN and encodes what is cut as it stands."""
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
