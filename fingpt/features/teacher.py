"""Answers of a language model behind an OpenAI-compatible endpoint, each kept in the store before it is used.

The teacher gets the row's own question and is not told the outcome, unless `hindsight`. What it says is kept
create-only under `teacher/<hash of the request>/<attempt>.json`, fitting or not: a repeated build asks for nothing that
was answered, and gives the same rows. The key (FINGPT_TEACHER_KEY, or _KEY_FILE) goes into one header and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
from pydantic import SecretStr

from fingpt import log
from fingpt.errors import (
    ConfigError,
    DataError,
    FingptError,
    PermissionDeniedError,
    SetupError,
    TransientError,
)
from fingpt.features.answers import fitted
from fingpt.features.config import AnswerConfig
from fingpt.features.model import Facts
from fingpt.features.question import SYSTEM, question
from fingpt.features.rows import Rejected
from fingpt.reading import RECORD_BYTES, Unreadable, parse_object, read_record
from fingpt.record import Frozen, canonical_json, sha256_bytes
from fingpt.storage import ObjectStore

TRIES = 5
"""Requests for one answer, where the endpoint is busy or cannot be reached."""

_BUSY = {408, 409, 425, 429, 500, 502, 503, 504}
_TIMEOUT = httpx2.Timeout(300.0, connect=10.0)
_LONGEST_PAUSE_SECONDS = 120.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_FORM = (
    'The line after "Prediction:" is one of: up or down, then " by " and 0-1%, 1-2%, 2-3%, 3-4%, 4-5% or more than 5%. '
    "Write the three headers exactly as shown, and nothing before the first or after the analysis."
)


class KeptAnswer(Frozen):
    """What the teacher said to one request; `request_sha256` is of the body without any key."""

    schema_version: int = 1
    model: str
    hindsight: bool
    request_sha256: str
    attempt: int
    answered_at: datetime
    text: str


class Teacher:
    """An Answer for rows; safe for several threads."""

    def __init__(
        self,
        store: ObjectStore,
        config: AnswerConfig,
        key: SecretStr | None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store, self._config = store, config
        self._endpoint = _Endpoint(config.endpoint, key, sleep)

    def __call__(self, facts: Facts, label: str) -> str:
        """The first of its answers that fits; Rejected with the last one's reason where none does.

        Raises PermissionDeniedError for a refused key, ConfigError for a refused request, TransientError where the
        endpoint stays busy, DataError where it is none.
        """
        body = request_body(self._config, facts, label)
        reason = "empty"
        for attempt in range(1, self._config.attempts + 1):
            try:
                return fitted(self._answer(body, attempt), label)
            except Rejected as refusal:
                reason = str(refusal)
        raise Rejected(reason)

    def _answer(self, body: dict[str, Any], attempt: int) -> str:
        sha256 = sha256_bytes(canonical_json(body))
        key = f"teacher/{sha256}/{attempt}.json"
        if not self._store.exists(key):
            kept = KeptAnswer(
                model=self._config.model,
                hindsight=self._config.hindsight,
                request_sha256=sha256,
                attempt=attempt,
                answered_at=datetime.now(UTC),
                text=self._endpoint.complete(body),
            )
            # Of two builds at once the first one's answer counts for both.
            self._store.create(key, canonical_json(kept))
        where = f"{self._store.uri}/{key}"
        return read_record(
            KeptAnswer, self._store.read(key), where, "remove it, and the teacher is asked again"
        ).text


def request_body(config: AnswerConfig, facts: Facts, label: str) -> dict[str, Any]:
    """What is sent to the teacher; the label is in it with `hindsight` alone."""
    told = (
        f"\n\nWhat happened: the price went {label}. Argue towards it." if config.hindsight else ""
    )
    return {
        "model": config.model,
        "messages": [
            {"role": "system", "content": f"{SYSTEM}\n\n{_FORM}"},
            {"role": "user", "content": question(facts) + told},
        ],
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
    }


class _Endpoint:
    """POST <address>/chat/completions, patiently."""

    def __init__(self, address: str, key: SecretStr | None, sleep: Callable[[float], None]) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ConfigError(
                "features.answers.endpoint is no usable address; write https://host/v1, without a name or password in "
                "it."
            )
        if parts.scheme == "http" and key and parts.hostname not in _LOOPBACK:
            raise ConfigError(
                f"features.answers.endpoint is http://{parts.hostname}, which would carry the key in plain text; use "
                "https."
            )
        self._url = f"{address.rstrip('/')}/chat/completions"
        self._key, self._sleep = key, sleep
        headers = {"Content-Type": "application/json", "User-Agent": "fingpt-jobs"}
        if key:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=False)

    def complete(self, body: dict[str, Any]) -> str:
        """The text of the first choice; empty where the model said nothing."""
        reason, pause = "", 0.0
        for attempt in range(TRIES):
            if attempt:
                log.warning("teacher is asked again", reason=reason, pause_seconds=round(pause, 1))
                self._sleep(pause)
            try:
                answer = self._client.post(self._url, content=canonical_json(body))
            except (
                httpx2.TimeoutException,
                httpx2.NetworkError,
                httpx2.RemoteProtocolError,
            ) as fault:
                reason, pause = type(fault).__name__, 2.0**attempt
                continue
            except httpx2.HTTPError as fault:
                raise SetupError(
                    f"The teacher at {self._url} cannot be asked ({type(fault).__name__}); check address and proxy."
                ) from None
            if answer.status_code == 200:
                return self._text(answer)
            reason = f"status {answer.status_code}"
            if answer.status_code not in _BUSY:
                raise self._refusal(answer)
            pause = min(_retry_after(answer) or 2.0**attempt, _LONGEST_PAUSE_SECONDS)
        raise TransientError(
            f"The teacher at {self._url} did not answer in {TRIES} tries ({reason}); check that the endpoint runs "
            "and can be reached from here, then run the same command again: it goes on from here."
        )

    def _text(self, answer: httpx2.Response) -> str:
        try:
            value = parse_object(answer.content, RECORD_BYTES)
            text = value["choices"][0]["message"]["content"]
        except (Unreadable, KeyError, IndexError, TypeError):
            raise DataError(
                f"The teacher at {self._url} answers 200 with something that is no chat completion "
                f"({self._excerpt(answer)}); check the endpoint: its address mostly ends in /v1."
            ) from None
        return text if isinstance(text, str) else ""

    def _refusal(self, answer: httpx2.Response) -> FingptError:
        status, said = answer.status_code, self._excerpt(answer)
        if status in (401, 403):
            return PermissionDeniedError(
                f"The teacher at {self._url} refuses the key ({status}: {said}); set FINGPT_TEACHER_KEY, or "
                "FINGPT_TEACHER_KEY_FILE to a file that holds it."
            )
        return ConfigError(
            f"The teacher at {self._url} refuses the request ({status}: {said}); check endpoint and model under "
            "features.answers."
        )

    def _excerpt(self, answer: httpx2.Response) -> str:
        text = answer.content[:2000].decode("utf-8", "replace")
        if self._key:
            text = text.replace(self._key.get_secret_value(), "***")
        return log.printable(" ".join(text.split()))[:160] or "nothing"


def _retry_after(answer: httpx2.Response) -> float | None:
    """Seconds that the endpoint asks to wait, given as a number or as a date."""
    stated = answer.headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit() and len(stated) < 8:
        return float(stated)
    try:
        return max(0.0, (parsedate_to_datetime(stated) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
