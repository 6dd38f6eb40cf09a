"""From a data set's files to tokenised rows; what is dropped is counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fingpt.errors import DataError
from fingpt.models import ModelSpec
from fingpt.prompts.chat import load_tokenizer, pad_id, render_packed
from fingpt.prompts.examples import decode_jsonl
from fingpt.train.batching import Row
from fingpt.train.handoff import TRAINING_SPLITS

_MOST_SUPERVISED = 0.6
"""Above this share of trained tokens in all rows together, prompts were lost or masks are wrong."""


@dataclass(frozen=True)
class Tokenised:
    """Rows of both splits; `eval_split` is `validation`, or `none` where the data set has no validation rows."""

    train: tuple[Row, ...]
    evaluation: tuple[Row, ...]
    eval_split: str
    pad_id: int
    dropped_news: int


def tokenise(spec: ModelSpec, base: Path, data: Path, max_tokens: int) -> Tokenised:
    """Render every example of the train and the validation split; test rows are never read.

    DataError when the train split is empty or a row breaks what chat promises.
    """
    tokenizer = load_tokenizer(base)
    dropped = 0

    def read(split: str) -> tuple[Row, ...]:
        nonlocal dropped
        path = data / f"{split}.jsonl"
        rows = []
        examples = decode_jsonl(path.read_bytes()) if path.is_file() else []
        found = render_packed(spec, tokenizer, examples, max_tokens)
        for example, rendered in zip(examples, found, strict=True):
            dropped += rendered.dropped_news
            rows.append(Row(example.id, rendered.prompt_ids, rendered.answer_ids))
        return tuple(rows)

    train, evaluation = (read(split) for split in TRAINING_SPLITS)
    check_rows(train)
    return Tokenised(
        train=train,
        evaluation=evaluation,
        eval_split="validation" if evaluation else "none",
        pad_id=pad_id(spec, tokenizer),
        dropped_news=dropped,
    )


def check_rows(rows: tuple[Row, ...]) -> None:
    """DataError when there is nothing to train on, or more answer than a question could have."""
    if not rows:
        raise DataError("The train split is empty; check the split and the limit of prep.")
    for row in rows:
        if not row.prompt or not row.answer:
            raise DataError(f"Example {row.example[:12]} has no prompt or no answer to train on.")
    answers, tokens = sum(len(row.answer) for row in rows), sum(len(row) for row in rows)
    if answers > _MOST_SUPERVISED * tokens:
        raise DataError(
            f"{answers} of {tokens} tokens would be trained on; answers are expected to be the smaller part, "
            "so the prompts of this data set were lost."
        )
