"""HTML in foreign text: tags dropped, entities decoded. Pure.

Feeds send news as HTML, now and then escaped twice. A tag is one of HTML's own names alone: `<AAPL>`, `a < b` and the
marks of chat templates are text and stay. An entity ends in a semicolon: `R&D` and `AT&T` are none.
"""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5

_INLINE = frozenset(
    "a abbr b bdi bdo big cite code del dfn em font i img ins kbd mark q s samp small span strike strong sub sup time "
    "tt u var wbr".split()
)
_BLOCK = frozenset(
    "address article aside audio blockquote body br button caption center col colgroup dd details div dl dt embed "
    "fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe input label legend li link "
    "main meta nav ol option p picture pre section select source summary svg table tbody td textarea tfoot th thead "
    "tr ul video".split()
)
_UNSEEN = frozenset({"script", "style", "noscript", "template"})
"""Their content is for programs."""
_NAMES = _INLINE | _BLOCK | _UNSEEN | {"<!--"}

# No quantifier runs over a `<`, so that the time is linear in the text.
_MARK = re.compile(
    r"<!--|-->|<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]*)"
    r"(?:[\s/](?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+)?>"
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_ESCAPES = 3
"""So often at most a text is taken for escaped."""


def without_markup(text: str) -> str:
    """`text` without HTML's tags, comments and scripts, its entities decoded; a tag between blocks leaves a blank."""
    for _ in range(_ESCAPES):
        plain = _ENTITY.sub(_decoded, _without_tags(text))
        if plain == text:
            break
        text = plain
    return _without_tags(text)


def _decoded(entity: re.Match[str]) -> str:
    name = entity[0][1:]
    return unescape(entity[0]) if name.startswith("#") or name in html5 else entity[0]


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    parts: list[str] = []
    position, closes = 0, ""  # closes: what ends the unseen part that we are in
    for mark in _MARK.finditer(text):
        name = (mark["name"] or mark[0]).lower()
        if closes:
            if name == closes and (mark["end"] or name == "-->"):
                position, closes = mark.end(), ""
            continue
        if name not in _NAMES:
            continue
        parts.append(text[position : mark.start()])
        position = mark.end()
        if name not in _INLINE:
            parts.append(" ")
        if name == "<!--":
            closes = "-->"
        elif name in _UNSEEN and not mark["end"]:
            closes = name
    if not closes:
        parts.append(text[position:])
    return "".join(parts)
