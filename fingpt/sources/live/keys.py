"""The key of a source: where a request carries it, and how it is kept out of everything else.

A key is added by the last step before the wire (`Key.sign`), so that neither the request that the HTTP library logs and
puts into its errors nor what we write has it. What a server says is `clean`ed of it before anybody sees it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import httpx2
from pydantic import SecretStr

from fingpt.config import source_key
from fingpt.errors import ConfigError, PermissionDeniedError

_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, and the place in a request where its source wants it.

    `place`: `header` and `query` take a field of that `name`, `json` adds one to the object in the request's body.
    `prefix` stands before the secret. `variable`: what a person sets, for messages.
    """

    secret: SecretStr
    variable: str
    place: Literal["header", "query", "json"]
    name: str
    prefix: str = ""

    def sign(self, request: httpx2.Request) -> httpx2.Request:
        """A copy of `request` with the key in it."""
        value = self.prefix + self.secret.get_secret_value()
        url, headers, content = request.url, request.headers.copy(), request.read()
        if self.place == "header":
            headers[self.name] = value
        elif self.place == "query":
            url = url.copy_add_param(self.name, value)
        else:
            content = json.dumps({**json.loads(content), self.name: value}).encode()
            headers["Content-Length"] = str(len(content))
        return httpx2.Request(
            request.method, url, headers=headers, content=content, extensions=request.extensions
        )

    def clean(self, text: str) -> str:
        """`text` with the secret replaced by `***`."""
        secret = self.secret.get_secret_value()
        return text.replace(secret, "***").replace(quote(secret, safe=""), "***")

    def is_in(self, data: bytes) -> bool:
        """Whether `data` repeats the secret."""
        return self.secret.get_secret_value().encode() in data


def find_key(
    source: str, place: Literal["header", "query", "json"], name: str, prefix: str = ""
) -> Key | None:
    """The key of `source` that the environment names, None where it names none.

    PermissionDeniedError for one that no key can be: it would reach a header as two lines, or every text as its part.
    """
    secret = source_key(source)
    if secret is None:
        return None
    text, variable = secret.get_secret_value(), variable_of(source)
    if not (text.isascii() and text.isprintable()) or " " in text or len(text) < _SHORTEST:
        raise PermissionDeniedError(
            f"{variable} holds fewer than {_SHORTEST} characters, a blank, or a character that no key has; copy it "
            "again."
        )
    return Key(secret, variable, place, name, prefix)


def require_key(
    source: str, place: Literal["header", "query", "json"], name: str, prefix: str = ""
) -> Key:
    """As `find_key`; ConfigError naming the variable where there is none."""
    key = find_key(source, place, name, prefix)
    if key is None:
        raise ConfigError(
            f"The source {source} needs a key: set {variable_of(source)}, or {variable_of(source)}_FILE to a file that "
            "holds it (in the cluster, a mounted Secret), or leave the source out."
        )
    return key


def variable_of(source: str) -> str:
    """The environment variable that holds the key of `source`."""
    return f"FINGPT_{source.upper()}_KEY"
