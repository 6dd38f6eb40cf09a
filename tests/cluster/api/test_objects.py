"""Records of the API's JSON: what quantities are worth."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fingpt.cluster.api.objects import parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", "0.5"),
        ("250u", "0.00025"),
        ("4", "4"),
        ("0.1", "0.1"),
        ("1.5k", "1500"),
        ("16Gi", str(16 * 2**30)),
        ("1Ei", str(2**60)),
        ("12e3", "12000"),
        ("x", "0"),
        ("16gi", "0"),
        ("NaN", "0"),
        ("", "0"),
    ],
)
def test_quantities_are_exact_numbers_and_nothing_else_counts(text, number):
    assert parse_quantity(text) == Decimal(number)
