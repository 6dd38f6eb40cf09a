"""Ids made piece by piece are those that the tokenizer gives whole texts."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, models, pre_tokenizers

from fingpt.prompts import pieces as module
from fingpt.prompts.pieces import Pieces, _borders
from fingpt.prompts.words import whole
from tests.prompts.small_bpe import LINES, tokenizer

LLAMA = tokenizer()
PIECES = Pieces(LLAMA)

TEXTS = st.text(
    st.sampled_from("ab's ſrelLmdtTvVE 12٣\n\n\n  \r\t.,—'\u00a0\u2028\x1cé日ⅷ\0\1"), max_size=25
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=6))
def test_ids_are_those_of_whole_texts(texts: list[str]) -> None:
    assert PIECES.packed(texts) == whole(LLAMA, texts)


def pieces_of(text: str) -> list[str]:
    data = text.encode()
    borders = _borders(data, np.array([0, len(data)])).tolist()
    return [data[start:stop].decode() for start, stop in pairwise(borders)]


def words_of(text: str) -> list[str]:
    return [word for word, _ in LLAMA.pre_tokenizer.pre_tokenize_str(text)]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_text_is_cut_only_where_its_pattern_cuts(text: str) -> None:
    pieces = pieces_of(text)
    assert "".join(pieces) == text
    assert [word for piece in pieces for word in words_of(piece)] == words_of(text)


def test_characters_of_all_kinds_in_any_order_are_cut_only_where_the_pattern_cuts() -> None:
    kinds = "as1.' \n\r\xa0\u2028é’日٣"
    for text in map("".join, product(kinds, repeat=4)):
        pieces = pieces_of(text)
        if len(pieces) > 1:
            assert [word for piece in pieces for word in words_of(piece)] == words_of(text), text


def test_a_plain_line_is_cut_around_words_and_digits() -> None:
    text = "Up by  2.5%.\n\nIt’s\n  “we’ll” see"
    pieces = ["Up", " by", "  2", ".", "5", "%.\n\n", "It’s", "\n  “we’ll”", " see"]
    assert pieces_of(text) == pieces


def test_blanks_are_all_white_space_of_the_pattern() -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x20000))))
    white = pre_tokenizers.Split(Regex(r"\s"), "isolated").pre_tokenize_str(every)
    assert {text for text, _ in white if len(text) == 1} == set(f"\t\n\v\f\r {module._BLANKS}")


def test_every_character_has_the_ids_of_whole_texts() -> None:
    every = [chr(code) for code in range(0x3100) if not 0xD800 <= code < 0xE000]
    texts = [f"a{char} {char}1{char}{char}'{char}\n{char}" for char in every]
    assert PIECES.packed(texts) == whole(LLAMA, texts)


def asked(pieces: Pieces, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tokenizer will be asked for, from now on."""
    found = list[str]()

    class Listening:
        def encode_batch(self, batch: list[list[str]], **settings: bool) -> object:
            found.extend(piece for some in batch for piece in some)
            return LLAMA.encode_batch(batch, **settings)

    monkeypatch.setattr(pieces, "_tokenizer", Listening())
    return found


def test_a_piece_of_many_texts_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(LLAMA)
    said = asked(pieces, monkeypatch)
    texts = [f"{LINES[0]} and {number}" for number in range(50)]
    assert pieces.packed(texts) == whole(LLAMA, texts)
    assert len(said) == len(set(said)) < 100
    assert pieces.packed(texts[:9]) == whole(LLAMA, texts[:9])
    assert len(said) < 100


def test_pieces_whose_places_are_taken_have_their_own_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PLACE_BITS", 2)
    pieces = Pieces(LLAMA)
    texts = [*LINES, *(f"a{number}b" for number in range(300))]
    for _ in range(2):
        assert pieces.packed(texts) == whole(LLAMA, texts)


def test_pieces_that_differ_in_one_letter_have_their_own_ids() -> None:
    pieces = Pieces(LLAMA)
    places = [(before, size - before) for size in range(20) for before in range(size + 1)]
    texts = [f"{'a' * before}{letter}{'a' * after}" for before, after in places for letter in "abq"]
    for _ in range(2):
        assert pieces.packed(texts) == whole(LLAMA, texts)


def test_a_piece_that_a_tokenizer_does_not_know_has_no_ids() -> None:
    lacking = tokenizer()
    known = {token: number for token, number in LLAMA.get_vocab().items() if len(token) == 1}
    del known["z"]
    lacking.model = models.BPE(known, [])
    assert Pieces(lacking).packed(["az", " a", "z"]) == whole(lacking, ["a", " a", ""])


def test_few_pieces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Pieces(LLAMA)
    monkeypatch.setattr(module, "_MOST_BYTES", 3000)
    for start in range(0, 500, 5):
        texts = [f"{LINES[0]} and {number}" for number in range(start, start + 5)]
        assert pieces.packed(texts) == whole(LLAMA, texts)
    assert len(pieces._numbers) < 50
