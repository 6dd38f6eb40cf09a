"""Commands in processes of their own that need no start: they are forked from one that has the libraries loaded.

Half a second of every command is the interpreter and its imports. `run` takes a module's command line, as `python -m`
does, in a fork of a server that has imported what commands import and nothing that reads the environment. Exit code,
streams, environment and folder are a process's own. What is about how a command starts, is stopped, or writes to
something else than a file, starts one.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

_LOADED = ("boto3", "numpy", "pyarrow.parquet", "scipy.stats", "fingpt.storage.s3")
"""What commands import late. kubernetes and huggingface_hub read settings then, and torch has threads: not these."""


def run(
    module: str, *arguments: str, env: Mapping[str, str], timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments` in the repository's folder, with `env` as its whole environment.

    The code is negative for a signal, as in `subprocess`. TimeoutExpired after `timeout` seconds.
    """
    words = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryDirectory(prefix="fingpt-tests-") as folder:
        files = [Path(folder, name) for name in ("out", "err")]
        code = _ask(
            {
                "module": module,
                "arguments": arguments,
                "env": dict(env),
                "files": [str(file) for file in files],
            },
            timeout,
        )
        if code is None:
            raise subprocess.TimeoutExpired(words, timeout)
        texts = [file.read_text(encoding="utf-8") for file in files]
    return subprocess.CompletedProcess(words, code, *texts)


def _ask(request: Mapping[str, object], timeout: float) -> int | None:
    """The exit code of what the server was asked to run; None when its time was up, and it was killed."""
    server, answers = _server()
    assert server.stdin is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    process = int(os.read(answers, 32))
    in_time = select.select([answers], [], [], timeout)[0]
    if not in_time:
        os.kill(process, signal.SIGKILL)
    code = int(os.read(answers, 32))
    return code if in_time else None


@cache
def _server() -> tuple[subprocess.Popen[str], int]:
    """The server of this process, and where it answers: a command's process id, then its code."""
    answers, inside = os.pipe()
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", str(inside)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        text=True,
        pass_fds=[inside],
    )
    os.close(inside)
    atexit.register(_end, server)
    return server, answers


def _end(server: subprocess.Popen[str]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait(10)


def _serve(answers: int) -> dict[str, Any] | None:
    """Fork once for each request; a fork gets its own request, the server None when there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is pytest's
    for line in sys.stdin:
        process = os.fork()
        if not process:
            os.close(answers)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return json.loads(line)
        os.write(answers, f"{process}".ljust(32).encode())
        status = os.waitpid(process, 0)[1]
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}".ljust(32).encode())
    return None


def _load() -> None:
    """Import what the commands import, but not themselves: they are run."""
    import jobs

    for path in sorted((ROOT / "jobs").glob("[a-z]*.py")):
        importlib.import_module(f"jobs.{path.stem}")
        del sys.modules[f"jobs.{path.stem}"]
        delattr(jobs, path.stem)
    for name in _LOADED:
        importlib.import_module(name)
    gc.freeze()


def _become(request: Mapping[str, Any]) -> None:
    """Take the request's streams and environment, and run its module as the main one."""
    for number, name in ((0, os.devnull), *enumerate(request["files"], start=1)):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _load()
    mine = _serve(int(sys.argv[1]))
    if mine is not None:
        _become(mine)
