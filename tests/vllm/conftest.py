"""These tests need vLLM, which is in no environment but that of `make test-vllm`."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.eval.conftest import tokenizer  # noqa: F401

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Show warnings and go on: vLLM and what it loads are full of them, and none is ours to mend."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))
