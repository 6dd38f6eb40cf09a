"""The chat template of each family: as pieces, as Jinja for other programs, and its hash. Applying it is chat.py's."""

from __future__ import annotations

from fingpt.models import Family, ModelSpec
from fingpt.prompts import deepseek_r1, llama31
from fingpt.prompts.template import SpecialToken, Template
from fingpt.record import canonical_json, sha256_bytes

TEMPLATES: dict[Family, Template] = {
    "llama31": llama31.prompt,
    "deepseek-r1": deepseek_r1.prompt,
}

_CHAT_TEMPLATES: dict[Family, str] = {
    "llama31": llama31.CHAT_TEMPLATE,
    "deepseek-r1": deepseek_r1.CHAT_TEMPLATE,
}


def template_sha256(spec: ModelSpec) -> str:
    """Hex sha256 of the family's template with placeholders: changes when any special token or fixed text does."""
    pieces = (
        *TEMPLATES[spec.family]("{system}", "{user}"),
        "{answer}",
        SpecialToken(spec.stop_tokens[0]),
    )
    return sha256_bytes(
        canonical_json(
            [{"mark": p.token} if isinstance(p, SpecialToken) else {"text": p} for p in pieces]
        )
    )


def chat_template(spec: ModelSpec) -> str:
    """The family's template as Jinja, for a `chat_template.jinja` beside an adapter.

    Text without special tokens gives the ids that `render` gives. Nothing is dropped from a long prompt.
    """
    return _CHAT_TEMPLATES[spec.family]
