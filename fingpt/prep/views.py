"""How each model sees a row: its prompt and answer as tokens, for the page alone.

Uses the tokenizers of the bases that the store holds; where there are none (or no transformers), there are no views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fingpt.errors import DataError
from fingpt.models import MODELS, ModelSpec
from fingpt.prompts.examples import Example
from fingpt.runs.manifest import BaseManifest, decode
from fingpt.runs.run import base_manifest_key
from fingpt.storage import ObjectStore, download_tree

TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text as decoded alone, and whether the loss sees it."""

    text: str
    trained: bool


@dataclass(frozen=True, slots=True)
class RowView:
    """One row as a model sees it; `note` says what was dropped, or why the row cannot be rendered."""

    tokens: tuple[Token, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelView:
    """The shown rows as one model sees them, in the page's order of rows."""

    key: str
    title: str
    rows: tuple[RowView, ...]


def model_views(
    store: ObjectStore, examples: Sequence[Example], scratch: Path, max_tokens: int
) -> tuple[ModelView, ...]:
    """Views of `examples` for every model of the table whose base lies in the store; errors as of ObjectStore."""
    if find_spec("transformers") is None or find_spec("tokenizers") is None:
        return ()
    present = [
        spec for spec in MODELS.values() if store.exists(base_manifest_key(spec.base_prefix))
    ]
    return tuple(_view(store, spec, examples, scratch, max_tokens) for spec in present)


def _view(
    store: ObjectStore,
    spec: ModelSpec,
    examples: Sequence[Example],
    scratch: Path,
    max_tokens: int,
) -> ModelView:
    from fingpt.prompts.chat import load_tokenizer

    key = base_manifest_key(spec.base_prefix)
    manifest = decode(BaseManifest, store.read(key), key)
    folder = scratch / "tokenizers" / spec.key
    files = tuple(file for file in manifest.files if file.name == TOKENIZER)
    download_tree(store, spec.base_prefix, files, folder)
    tokenizer = load_tokenizer(folder)
    rows = tuple(_row(spec, tokenizer, example, max_tokens) for example in examples)
    return ModelView(spec.key, spec.title, rows)


def _row(spec: ModelSpec, tokenizer: object, example: Example, max_tokens: int) -> RowView:
    from transformers import PreTrainedTokenizerFast

    from fingpt.prompts.chat import render

    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    try:
        rendered = render(spec, tokenizer, example, max_tokens)
    except DataError as error:
        return RowView((), note=str(error))
    marked = [(i, False) for i in rendered.prompt_ids] + [(i, True) for i in rendered.answer_ids]
    texts = {number: str(tokenizer.decode([number])) for number in {i for i, _ in marked}}
    tokens = tuple(Token(texts[number], trained) for number, trained in marked)
    dropped = rendered.dropped_news
    note = (
        f"The oldest {dropped} news items were left out to fit {max_tokens} tokens."
        if dropped
        else ""
    )
    return RowView(tokens, note)
