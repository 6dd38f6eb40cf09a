"""Stored records: moments are kept in UTC, whatever their offset, and what is no moment is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from fingpt.record import Frozen, Moment


class Dated(Frozen):
    at: Moment


def test_a_moment_is_kept_in_utc():
    found = Dated.model_validate_json('{"at": "2026-11-20T16:00:00-05:00"}')
    assert found.at == datetime(2026, 11, 20, 21, tzinfo=UTC)
    assert found.model_dump_json() == '{"at":"2026-11-20T21:00:00Z"}'


@pytest.mark.parametrize(
    "text", ["2026-11-20T16:00:00", "0001-01-01T00:00:00+05:00", "9999-12-31T23:00:00-05:00"]
)
def test_what_is_no_moment_in_utc_is_refused(text):
    with pytest.raises(ValidationError):
        Dated.model_validate_json(f'{{"at": "{text}"}}')
