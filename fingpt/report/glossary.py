"""The words of the report in plain language, and a checklist of biases; the texts are in glossary.yaml."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fingpt.reading import parse_yaml
from fingpt.record import Frozen


class Glossary(Frozen):
    """`glossary`: word → meaning. `biases`: name → the question to ask, with the place in the report that answers."""

    glossary: dict[str, str]
    biases: dict[str, str]


@cache
def load_glossary() -> Glossary:
    """The packaged texts."""
    text = (files("fingpt.report") / "glossary.yaml").read_text(encoding="utf-8")
    return Glossary.model_validate(parse_yaml(text))
