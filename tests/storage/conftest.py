"""The stores under test: a folder, moto's server in this process, and a real versitygw where one is named."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.awsrequest import AWSResponse

from fingpt.storage import LocalStore, ObjectStore, s3_retry
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client

ACCESS_KEY, SECRET_KEY = "lab-access-key", "lab-secret-key"
POWERLESS_KEY = "powerless-key"


@dataclass(frozen=True)
class Lab:
    """A store and a way to damage what it holds, behind its back; for S3 also the client and the bucket."""

    store: ObjectStore
    flip_a_bit: Callable[[str], None]
    client: Any = None
    bucket: str = ""


def forget_aws_settings(patch: pytest.MonkeyPatch) -> None:
    """None of the machine's own settings, credentials or proxies are left."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            patch.delenv(name)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")


@pytest.fixture
def aws_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets AWS settings for one test, for stores that it opens itself."""
    forget_aws_settings(monkeypatch)

    def apply(endpoint: str, access: str | None = ACCESS_KEY, secret: str = SECRET_KEY) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        if access is not None:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)

    return apply


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass(frozen=True)
class Gateway:
    endpoint: str
    root: Path


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    program = os.environ.get("FINGPT_VERSITYGW")
    if not program:
        pytest.skip(
            "FINGPT_VERSITYGW does not name the versitygw program, so this S3 server is not tried."
        )
    root = tmp_path_factory.mktemp("versitygw")
    port = _free_port()
    keys = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    process = subprocess.Popen(
        [
            program,
            *("--port", f"127.0.0.1:{port}"),
            *("--iam-dir", str(tmp_path_factory.mktemp("users"))),
            *("--quiet", "posix", str(root)),
        ],
        env={"PATH": os.environ["PATH"], **keys},
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        _add_user(program, f"http://127.0.0.1:{port}")
        yield Gateway(f"http://127.0.0.1:{port}", root)
    finally:
        process.terminate()
        process.wait(10)


def _add_user(program: str, endpoint: str) -> None:
    """A user with the right key and no right to anything."""
    administrator = ("--access", ACCESS_KEY, "--secret", SECRET_KEY, "--endpoint-url", endpoint)
    user = ("--access", POWERLESS_KEY, "--secret", SECRET_KEY, "--role", "user")
    command = [program, "admin", *administrator, "create-user", *user]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "versitygw ended instead of listening"
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("versitygw did not listen within 10 seconds")


@pytest.fixture(scope="session")
def moto_client(moto_endpoint: str) -> Iterator[Any]:
    yield from _client(moto_endpoint)


@pytest.fixture(scope="session")
def gateway_client(gateway: Gateway) -> Iterator[Any]:
    yield from _client(gateway.endpoint)


def _client(endpoint: str) -> Iterator[Any]:
    """The product's own client; it takes half a second to make, so the tests of a server share one."""
    with pytest.MonkeyPatch.context() as patch:
        forget_aws_settings(patch)
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        client = make_client()
    yield client
    client.close()


@pytest.fixture
def moto_lab(moto_client) -> Lab:
    bucket = f"bucket-{uuid4().hex}"
    moto_client.create_bucket(Bucket=bucket)

    def flip(key: str) -> None:
        address = {"Bucket": bucket, "Key": f"some/prefix/{key}"}
        there = moto_client.get_object(**address)
        data = _flipped(there["Body"].read())
        moto_client.put_object(**address, Body=data, Metadata=there["Metadata"])

    return Lab(S3Store(moto_client, bucket, "some/prefix"), flip, moto_client, bucket)


@pytest.fixture
def gateway_lab(gateway, gateway_client) -> Lab:
    bucket = f"bucket-{uuid4().hex}"
    gateway_client.create_bucket(Bucket=bucket)
    folder = gateway.root / bucket / "some/prefix"

    def flip(key: str) -> None:
        _flip_file(folder / key)

    return Lab(S3Store(gateway_client, bucket, "some/prefix"), flip, gateway_client, bucket)


@pytest.fixture
def local_lab(tmp_path: Path) -> Lab:
    root = tmp_path / "store"
    return Lab(LocalStore(root), lambda key: _flip_file(root / key))


@pytest.fixture(params=["local", "moto", "versitygw"])
def lab(request: pytest.FixtureRequest) -> Lab:
    """Every store in turn."""
    names = {"local": "local_lab", "moto": "moto_lab", "versitygw": "gateway_lab"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture(params=["moto", "versitygw"])
def s3_lab(request: pytest.FixtureRequest) -> Lab:
    """Every S3 server in turn."""
    names = {"moto": "moto_lab", "versitygw": "gateway_lab"}
    return request.getfixturevalue(names[request.param])


@pytest.fixture
def store(lab: Lab) -> ObjectStore:
    return lab.store


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _flip_file(path: Path) -> None:
    path.write_bytes(_flipped(path.read_bytes()))


class _Body:
    """The raw body of an answer that no server sent."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self):
        yield self._data


def _answer(status: int, code: str) -> Callable[..., AWSResponse]:
    body = f"<Error><Code>{code}</Code><Message>said the lab</Message></Error>".encode()

    def respond(request, **_):
        return AWSResponse(
            request.url, status, {}, _Body(b"" if request.method == "HEAD" else body)
        )

    return respond


@pytest.fixture
def answer() -> Callable[..., Callable[..., AWSResponse]]:
    """Makes what the endpoint says instead of what it would have said: a status and S3's word for it."""
    return _answer


@pytest.fixture
def hook():
    """Hooks into the shared clients' events, taken out again at the end of the test."""
    made = []

    def register(client, event: str, act: Callable) -> None:
        client.meta.events.register(event, act)
        made.append((client, event, act))

    yield register
    for client, event, act in made:
        client.meta.events.unregister(event, act)


@pytest.fixture
def before_sending(hook):
    """`act` gets each request of an operation, and answers in the server's place unless it returns None."""
    return lambda lab, operation, act: hook(lab.client, f"before-send.s3.{operation}", act)


@pytest.fixture
def at_once(monkeypatch) -> None:
    """No waiting between repeated calls."""
    monkeypatch.setattr(s3_retry, "_LONGEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(s3_retry.random, "uniform", lambda low, high: 0.0)
