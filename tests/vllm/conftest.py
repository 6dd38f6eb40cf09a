"""These tests need vLLM, which is in no environment but that of `make test-vllm`."""

from importlib.util import find_spec

from tests.eval.conftest import tokenizer  # noqa: F401

collect_ignore_glob = [] if find_spec("vllm") else ["test_*.py"]
