"""The words of the report in plain language, and a checklist of biases; the texts are in glossary.yaml."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fingpt.reading import parse_yaml
from fingpt.record import Frozen
from fingpt.report.verdict import Verdict


class Glossary(Frozen):
    """`glossary`: word → meaning, in the order of the alphabet. `biases`: name → the question to ask, with the place in
    the report that answers.
    """

    glossary: dict[str, str]
    biases: dict[str, str]


@cache
def load_glossary() -> Glossary:
    """The packaged texts; an entry `verdict NAME` is about that verdict's own words."""
    text = (files("fingpt.report") / "glossary.yaml").read_text(encoding="utf-8")
    found = Glossary.model_validate(parse_yaml(text))
    named = {_word(key): meaning for key, meaning in found.glossary.items()}
    return found.model_copy(update={"glossary": dict(sorted(named.items(), key=_alphabet))})


def _word(key: str) -> str:
    name = key.removeprefix("verdict ")
    return key if name == key else Verdict[name].label


def _alphabet(entry: tuple[str, str]) -> str:
    return entry[0].lower()
