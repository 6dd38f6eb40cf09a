"""The prompt of DeepSeek-R1 and its distilled models:

    <｜begin▁of▁sentence｜><｜User｜>{system}

    {user}<｜Assistant｜><think>

    </think>

Two differences from the official template. The vendor advises against a system turn, so the system text opens the
user turn. The reference answers hold no reasoning, so the prompt itself ends with an empty reasoning block: masked in
training, given in generation, and in neither left to the model.
"""

from __future__ import annotations

from fingpt.prompts.template import Piece, SpecialToken

_BEGIN = SpecialToken("<｜begin▁of▁sentence｜>")
_USER, _ASSISTANT = SpecialToken("<｜User｜>"), SpecialToken("<｜Assistant｜>")
_THINK, _THINK_END = SpecialToken("<think>"), SpecialToken("</think>")


def prompt(system: str, user: str) -> tuple[Piece, ...]:
    """The pieces of the prompt up to where the answer begins."""
    turn = f"{system}\n\n{user}" if system else user
    return (_BEGIN, _USER, turn, _ASSISTANT, _THINK, "\n\n", _THINK_END, "\n\n")
