"""Entry points: parse arguments, call the library, exit with its code."""

from pathlib import Path

CONFIGS = Path(__file__).resolve().parent / "configs"
"""One file for each model that `--model` names."""
