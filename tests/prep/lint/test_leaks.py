"""Planted leaks are found by the right rule, in each of their wordings, and honest rows are left in peace."""

import pytest

from tests_leaks import LEAKS
