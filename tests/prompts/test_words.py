"""Which tokenizers encode pieces, and what is packed."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models

from fingpt.prompts.pieces import Pieces
from fingpt.prompts.words import cuts_as_llama, encoder, is_first_alone, pack, unpack, whole
from tests.prompts.small_bpe import LINES, tokenizer

LLAMA = tokenizer()


def test_a_tokenizer_that_cuts_as_llama_encodes_pieces() -> None:
    assert isinstance(encoder(LLAMA).__self__, Pieces)
    assert encoder(LLAMA)(LINES) == whole(LLAMA, LINES)


@pytest.mark.parametrize(
    "other",
    [
        tokenizer(add_prefix_space=True),
        tokenizer(r"\p{N}{1,2}|\p{L}+|[^\p{L}\p{N}]+"),
        tokenizer(behavior="contiguous"),
        Tokenizer(models.BPE(LLAMA.get_vocab(), [])),
    ],
    ids=["a blank in front", "another pattern", "pieces joined", "no pattern"],
)
def test_another_tokenizer_encodes_whole_texts(other: Tokenizer) -> None:
    assert not cuts_as_llama(other)
    assert encoder(other)(LINES) == whole(other, LINES)


def test_packed_numbers_come_back() -> None:
    for ids in ((), (0, 7, 128_255), (9_000_000, 300)):
        assert unpack(pack(ids)) == ids


def test_an_id_is_found_by_its_place_and_not_by_bytes_that_look_like_it() -> None:
    alike = (0x0001_0000, 0x0100_0001)  # its bytes stand across these two as well
    number = 0x0001_0001
    assert pack((number,)) in pack(alike)
    assert is_first_alone(number, pack((number, *alike)))
    assert not is_first_alone(number, pack(alike))
    assert not is_first_alone(number, pack((7, number)))
    assert not is_first_alone(number, pack((number, 7, number)))
