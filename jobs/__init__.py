"""Entry points: parse arguments, call the library, exit with its code."""

import sys
from pathlib import Path
from types import TracebackType

from fingpt.errors import Interrupted

CONFIGS = Path(__file__).resolve().parent / "configs"
"""One file for each model that `--model` names."""

SWEEPS = CONFIGS.parent / "sweeps"
"""One file for each search that SPACE names."""


def _hook(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while a command still imports its libraries is no fault: one sentence and the code of an interruption."""
    if not issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, fault, trace)
    sys.stderr.write("Interrupted before anything began; run the same command again.\n")
    sys.exit(Interrupted.exit_code)


sys.excepthook = _hook
