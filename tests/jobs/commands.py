"""Commands as a person runs them: processes with an environment of their own, most of them forked (`tests.warm`)."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import typer
from typer.testing import CliRunner

from tests import warm

ROOT = Path(__file__).parent.parent.parent


def command(
    tmp_path: Path, name: str, *arguments: str, stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`python -m jobs.<name>` on the store in `tmp_path`, without any cluster; `variables` are set beside the usual."""
    environment = {**usual(tmp_path), "PATH": "/usr/bin:/bin", **variables}
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


def inside(
    tmp_path: Path, name: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The same command line in this process, for commands that import torch, which takes a process seconds."""
    app = typer.Typer()
    app.command()(importlib.import_module(f"jobs.{name}").main)
    done = CliRunner().invoke(app, list(arguments), env={**usual(tmp_path), **variables})
    return subprocess.CompletedProcess([name, *arguments], done.exit_code, done.stdout, done.stderr)


def usual(tmp_path: Path) -> dict[str, str]:
    """A store and a cache in `tmp_path`, and no cluster."""
    return {
        "FINGPT_STORE": (tmp_path / "store").as_uri(),
        "FINGPT_CACHE": str(tmp_path / "cache"),
        "KUBECONFIG": "/nonexistent",
    }
