"""Commands as a person runs them: processes with an environment of their own, most of them forked (`tests.warm`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests import warm

ROOT = Path(__file__).parent.parent.parent


def command(
    tmp_path: Path, name: str, *arguments: str, stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`python -m jobs.<name>` on the store in `tmp_path`, without any cluster; `variables` are set beside the usual."""
    environment = {
        "FINGPT_STORE": (tmp_path / "store").as_uri(),
        "FINGPT_CACHE": str(tmp_path / "cache"),
        "KUBECONFIG": "/nonexistent",
        "PATH": "/usr/bin:/bin",
        **variables,
    }
    if stdout == subprocess.PIPE and not any(key.startswith("PYTHON") for key in variables):
        return warm.run(f"jobs.{name}", *arguments, env=environment)
    return subprocess.run(
        [sys.executable, "-m", f"jobs.{name}", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
