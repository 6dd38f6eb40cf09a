"""Foreign text and numbers as they stand in a prompt: one line, no marks of ours, a fixed way to write figures. Pure.

A prompt's structure is in its lines: heads, tags, `key: value`. A text that is one line, behind a tag, cannot be any of
them, whatever it says. Tags of chat templates stay text: they become plain tokens (fingpt/prompts/chat.py).
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import floor, log10

_OURS = re.compile(r"From \d|Based on all|Some recent basic", re.IGNORECASE)

MAX_HEADLINE, MAX_SUMMARY, MAX_NAME = 300, 1000, 80


def one_line(text: str, limit: int) -> str:
    """`text` on one line, of visible characters and at most `limit` of them; cut at a word, which `…` then shows."""
    if len(text) <= limit and text.isprintable() and "  " not in text and text == text.strip():
        return text
    plain = "".join(c if c.isprintable() or c.isspace() else " " for c in text)
    line = " ".join(plain.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut[limit // 2 :] else cut}…"


@lru_cache(maxsize=1024)  # the names of figures are the same in every row
def line_start(text: str) -> str:
    """A foreign name that may begin a line: no bracket and no colon of a tag, and no beginning of a line of ours."""
    line = " ".join(one_line(text, MAX_NAME).translate(str.maketrans("[]:", "() ")).split())
    return f"· {line}" if _OURS.match(line) else line


def rounded(value: float, digits: int = 5) -> float:
    """`value` with so many significant digits, which is what a prompt shows of a figure."""
    if value == 0:
        return 0.0
    return round(value, digits - 1 - floor(log10(abs(value))))


def figure(value: float) -> str:
    """A figure without an exponent and without a zero that says nothing: 12, 0.0123, 4310000."""
    text = f"{value:.12f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def price(value: float) -> str:
    """A price as heads have it: two decimals, four below 1."""
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"
