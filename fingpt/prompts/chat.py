"""Example × ModelSpec × tokenizer → token ids; the only place where chat templates are applied.

A template's special tokens become their ids; content (system, user, answer) is encoded as plain text, so that a tag
inside the news never becomes a special token. Training and generation use the same prompt ids. What each family's
prompt looks like: llama31.py, deepseek_r1.py.

A prompt that is too long loses whole news items, the oldest first (news.py), never its instruction, introduction or
answer.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from fingpt.errors import DataError, MissingInputError
from fingpt.models import ModelSpec
from fingpt.prompts.examples import LABELS, PREDICTION_HEADER, Example
from fingpt.prompts.families import TEMPLATES
from fingpt.prompts.news import count_news, drop_oldest_news
from fingpt.prompts.template import Piece, SpecialToken
from fingpt.prompts.words import (
    Encode,
    count,
    encoder,
    is_first_alone,
    pack,
    plain,
    unpack,
    whole,
)
from fingpt.reading import Loading

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IGNORED = -100
"""Label of a position that the loss leaves out."""

_ADDED: WeakKeyDictionary[PreTrainedTokenizerFast, dict[str, int]] = WeakKeyDictionary()
"""Added tokens of each tokenizer: to list them takes a millisecond, as long as ten rows."""
_AT_ONCE = 32  # rows whose texts are encoded together: a core's cache holds what that takes


@dataclass(frozen=True, slots=True)
class Rendered:
    """Ids of one example; `answer_ids` end with the stop id, `dropped_news` counts news items left out."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    dropped_news: int

    @property
    def input_ids(self) -> tuple[int, ...]:
        """Prompt and answer, the sequence that is trained on."""
        return self.prompt_ids + self.answer_ids


class Packed(NamedTuple):
    """The same with ids as 32-bit numbers: a tuple takes as long to make as all else of a row, and nine times the
    memory.
    """

    prompt_ids: array[int]
    answer_ids: array[int]
    dropped_news: int


def _added_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int | None:
    added = _ADDED.get(tokenizer)
    if added is None:
        added = _ADDED[tokenizer] = tokenizer.get_added_vocab()
    return added.get(token)


def _special_id(spec: ModelSpec, tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = _added_id(tokenizer, token)
    if found is None:
        raise DataError(
            f"The tokenizer of '{spec.key}' has no special token '{token}', which the {spec.family} template needs; "
            "the folder holds another model's tokenizer."
        )
    return found


class _Ids(dict[Piece, bytes]):
    """Packed ids of pieces, special tokens and texts; `encode` makes those of texts that were not put here."""

    def __init__(
        self,
        spec: ModelSpec,
        tokenizer: PreTrainedTokenizerFast,
        encode: Encode | None = None,
    ) -> None:
        super().__init__()
        self.spec, self._tokenizer = spec, tokenizer
        self._encode = encode or partial(whole, plain(tokenizer.backend_tokenizer))

    def __missing__(self, piece: Piece) -> bytes:
        if isinstance(piece, str):
            return self._encode([piece])[0]
        found = self[piece] = pack((_special_id(self.spec, self._tokenizer, piece.token),))
        return found

    def joined(self, pieces: Sequence[Piece]) -> bytes:
        """Ids of pieces one after the other."""
        return b"".join(map(self.__getitem__, pieces))


def render_prompt(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerFast, example: Example, max_tokens: int
) -> tuple[tuple[int, ...], int]:
    """Prompt ids of at most `max_tokens`, and how many of the oldest news items were dropped for that.

    DataError when the prompt does not fit even without any news, or does not hold exactly one BOS.
    """
    prompt, dropped = _prompt(_Ids(spec, tokenizer), example, max_tokens)
    return unpack(prompt), dropped


def _prompt(ids: _Ids, example: Example, max_tokens: int) -> tuple[bytes, int]:
    spec = ids.spec
    build = TEMPLATES[spec.family]

    def without(dropped: int) -> bytes:
        user = drop_oldest_news(example.user, dropped) if dropped else example.user
        return ids.joined(build(example.system, user))

    prompt, dropped = without(0), 0
    if count(prompt) > max_tokens:
        items = count_news(example.user)
        dropped = 1 + bisect_left(
            range(1, items + 1), True, key=lambda left_out: count(without(left_out)) <= max_tokens
        )
        prompt = without(min(dropped, items))
        if count(prompt) > max_tokens:
            raise DataError(
                f"Example {example.symbol} {example.period} ({example.id[:12]}) has a prompt of {count(prompt)} tokens "
                f"with all {items} news items dropped, {count(prompt) - max_tokens} more than train.max_tokens leaves "
                f"beside the answer; raise it by {count(prompt) - max_tokens} or more, or leave the row out."
            )
    (bos,) = unpack(ids[SpecialToken(_bos(spec))])
    if not is_first_alone(bos, prompt):
        raise DataError(
            f"The prompt of {example.symbol} {example.period} holds {unpack(prompt).count(bos)} BOS ids instead of "
            f"one in front; the tokenizer of '{spec.key}' does not fit the {spec.family} template."
        )
    return prompt, dropped


def render(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerFast, example: Example, max_tokens: int
) -> Rendered:
    """Ids of prompt and answer, together at most `max_tokens`.

    The answer is trimmed and ends with the stop id. DataError names the example when its answer is empty or when
    prompt and answer do not fit even without any news.
    """
    return _unpacked(_render(_Ids(spec, tokenizer), example, max_tokens))


def _render(ids: _Ids, example: Example, max_tokens: int) -> Packed:
    answer = example.answer.strip()
    if not answer:
        raise DataError(
            f"Example {example.symbol} {example.period} ({example.id[:12]}) has an empty answer: nothing to learn."
        )
    answer_ids = ids.joined((answer, SpecialToken(ids.spec.stop_tokens[0])))
    prompt, dropped = _prompt(ids, example, max_tokens - count(answer_ids))
    return Packed(array("i", prompt), array("i", answer_ids), dropped)


def _unpacked(packed: Packed) -> Rendered:
    return Rendered(tuple(packed.prompt_ids), tuple(packed.answer_ids), packed.dropped_news)


def render_packed(
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    max_tokens: int,
) -> Iterator[Packed]:
    """`render` of every example, in their order; what stands in many of them is encoded once."""
    build, encode = TEMPLATES[spec.family], encoder(plain(tokenizer.backend_tokenizer))
    for start in range(0, len(examples), _AT_ONCE):
        part = examples[start : start + _AT_ONCE]
        pieces = (
            piece for one in part for piece in (*build(one.system, one.user), one.answer.strip())
        )
        texts = list(dict.fromkeys(piece for piece in pieces if isinstance(piece, str)))
        ids = _Ids(spec, tokenizer, encode)
        ids.update(zip(texts, encode(texts), strict=True))
        for one in part:
            yield _render(ids, one, max_tokens)


def render_all(
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerFast,
    examples: Sequence[Example],
    max_tokens: int,
) -> list[Rendered]:
    """The same as `render` gives them."""
    return list(map(_unpacked, render_packed(spec, tokenizer, examples, max_tokens)))


def label_ids(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerFast
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Ids of PREDICTION_HEADER, and of the continuation that is each of LABELS, in their order.

    A continuation is the label as answers spell it, its leading blank and the line's end included: both share tokens
    with the label's words, and the ids are those that training saw. DataError when this tokenizer's header does not
    end where the label begins.
    """
    ids = _Ids(spec, tokenizer)
    header = unpack(ids[PREDICTION_HEADER])
    continuations = []
    for label in LABELS:
        line = unpack(ids[f"{PREDICTION_HEADER} {label.capitalize()}\n"])
        if line[: len(header)] != header:
            raise DataError(
                f"The tokenizer of '{spec.key}' joins the end of '{PREDICTION_HEADER[-11:]}' with the label after it, "
                "so labels cannot be scored; bring the base's own tokenizer."
            )
        continuations.append(line[len(header) :])
    return header, tuple(continuations)


def labels(rendered: Rendered) -> tuple[int, ...]:
    """Labels of `rendered.input_ids`: -100 on every prompt position, by position and never by id."""
    return (IGNORED,) * len(rendered.prompt_ids) + rendered.answer_ids


def stop_ids(spec: ModelSpec, tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
    """Ids that end an answer in generation; the first is the one that is trained."""
    first = _special_id(spec, tokenizer, spec.stop_tokens[0])
    others = (_added_id(tokenizer, token) for token in spec.stop_tokens[1:])
    return (first, *(found for found in others if found is not None))


def pad_id(spec: ModelSpec, tokenizer: PreTrainedTokenizerFast) -> int:
    """Id that fills batches: the pad token of the table where the vocabulary has it, else the stop id.

    Sharing the stop id is harmless here, because labels and attention are masked by position and not by id.
    """
    found = _added_id(tokenizer, spec.pad_token)
    return stop_ids(spec, tokenizer)[0] if found is None else found


def _bos(spec: ModelSpec) -> str:
    first = TEMPLATES[spec.family]("", "")[0]
    assert isinstance(first, SpecialToken)
    return first.token


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The fast tokenizer of a base folder, from `tokenizer.json` alone.

    Neither code nor settings of the model's repository are used: stop and pad tokens come from the model table.
    MissingInputError when the file is not there, DataError when it is no tokenizer.
    """
    from transformers import PreTrainedTokenizerFast

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise MissingInputError(
            f"{path} does not exist; the base folder needs a fast tokenizer (tokenizer.json)."
        )
    with Loading(f"{path.name} of {folder.name}", "bring the base weights again"):
        found: PreTrainedTokenizerFast = PreTrainedTokenizerFast(tokenizer_file=str(path))  # type: ignore[no-untyped-call]
        found.encode("A line of news.")  # a tokenizer that loads may still fail on its first word
    return found
