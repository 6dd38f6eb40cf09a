"""Paths of a benchmark's command line: argparse says in one sentence which is not there."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def a_file(text: str) -> Path:
    """A file that is there."""
    if not Path(text).is_file():
        raise ArgumentTypeError(f"{text} is no file")
    return Path(text)


def a_folder(text: str) -> Path:
    """A folder that is there."""
    if not Path(text).is_dir():
        raise ArgumentTypeError(f"{text} is no folder")
    return Path(text)
