"""S3 servers for tests, each on a free port: moto in this process, others where their program is named."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.retries.standard import ExponentialBackoff

from fingpt.storage import s3_retry
from fingpt.storage.s3_client import make_client

ACCESS_KEY, SECRET_KEY = "lab-access-key", "lab-secret-key"

# The description of S3 is megabytes of JSON, which every client would read anew.
botocore.session.create_loader = cache(botocore.session.create_loader)


@contextmanager
def moto() -> Iterator[str]:
    """moto's server, a simulation; the endpoint."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def versitygw(folder: Path) -> Iterator[str]:
    """versitygw with its users in `folder`/users and its buckets in `folder`/data; the endpoint."""
    program = named_program("FINGPT_VERSITYGW", "versitygw")
    root, users = folder / "data", folder / "users"
    root.mkdir()
    users.mkdir()
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    port = free_port()
    where = ("--port", f"127.0.0.1:{port}", "--iam-dir", str(users), "--quiet")
    with _serving([program, *where, "posix", str(root)], keys, port):
        yield f"http://127.0.0.1:{port}"


def add_user(endpoint: str, key: str) -> None:
    """A user of versitygw with the right secret and no right to anything."""
    administrator = ("--access", ACCESS_KEY, "--secret", SECRET_KEY, "--endpoint-url", endpoint)
    user = ("--access", key, "--secret", SECRET_KEY, "--role", "user")
    command = [os.environ["FINGPT_VERSITYGW"], "admin", *administrator, "create-user", *user]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={})


@contextmanager
def minio(folder: Path) -> Iterator[str]:
    """MinIO on one disk, below `folder`; the endpoint."""
    program = named_program("FINGPT_MINIO", "minio")
    keys = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "HOME": str(folder)}
    port = free_port()
    command = [program, "server", "--quiet", "--address", f"127.0.0.1:{port}", f"{folder}/data"]
    with _serving(command, keys, port):
        yield f"http://127.0.0.1:{port}"


NAMES = ("moto", "versitygw", "minio")


@contextmanager
def server(name: str, folder: Path) -> Iterator[str]:
    """The server of NAMES, below `folder`; the endpoint."""
    with moto() if name == "moto" else {"versitygw": versitygw, "minio": minio}[name](folder) as at:
        yield at


def named_program(variable: str, name: str) -> str:
    """The program that an environment variable names; without it the test is skipped, and says so."""
    program = os.environ.get(variable)
    if not program:
        pytest.skip(f"{variable} does not name the {name} program, so this S3 server is not tried.")
    return program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@contextmanager
def _serving(command: list[str], keys: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **keys}, stdout=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None, f"{process.args[0]} ended instead of listening"
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"{process.args[0]} did not listen within 20 seconds")


def forget_aws_settings(patch: pytest.MonkeyPatch) -> None:
    """None of the machine's own settings, credentials or proxies are left."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            patch.delenv(name)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")


def repeat_at_once(patch: pytest.MonkeyPatch) -> None:
    """No waiting between repeated calls, neither ours nor the client's."""
    patch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0)
    patch.setattr(s3_retry, "_LONGEST_PAUSE_SECONDS", 0.01)
    patch.setattr(s3_retry.random, "uniform", lambda low, high: 0.0)


def use(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The settings of a server of this module."""
    patch.setenv("AWS_ENDPOINT_URL", endpoint)
    patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@contextmanager
def client_of(endpoint: str) -> Iterator[Any]:
    """The product's own client."""
    with pytest.MonkeyPatch.context() as patch:
        forget_aws_settings(patch)
        use(patch, endpoint)
        client = make_client()
    yield client
    client.close()
