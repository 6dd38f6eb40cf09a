"""The fixed sentences of a ledger's page: its method, and what it is not (words.yaml)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fingpt.reading import parse_yaml
from fingpt.record import Frozen


class Words(Frozen):
    """`method`: how figures are made. `disclaimer`: what stands on every page, whoever shows it."""

    method: tuple[str, ...]
    disclaimer: tuple[str, ...]


@cache
def words() -> Words:
    """The sentences as they are shipped."""
    text = (files("fingpt.ledger") / "words.yaml").read_text(encoding="utf-8")
    return Words.model_validate(parse_yaml(text))
