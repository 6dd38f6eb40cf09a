"""What a chat template is made of: special tokens by name, and plain text between them."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class SpecialToken(NamedTuple):
    """A special token of a template, by its text."""

    token: str


Piece = SpecialToken | str
"""A special token becomes its one id; text is encoded as plain text, whatever tags it holds."""


class Template(Protocol):
    """A family's prompt: its pieces up to where the answer begins; the first piece is the BOS token."""

    def __call__(self, system: str, user: str) -> tuple[Piece, ...]:
        """The prompt's pieces in order."""
