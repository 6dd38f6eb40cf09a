"""The stores under test: a folder, moto's server in this process, and real servers where their programs are named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.awsrequest import AWSResponse

from fingpt.storage import LocalStore, ObjectStore
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from tests import s3_servers
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.s3_servers import ACCESS_KEY, SECRET_KEY, forget_aws_settings

POWERLESS_KEY = "powerless-key"


@dataclass(frozen=True)
class Lab:
    """A store and a way to damage what it holds, behind its back; for S3 also the client and the bucket."""

    store: ObjectStore
    flip_a_bit: Callable[[str], None]
    client: Any = None
    bucket: str = ""


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
    with s3_servers.moto() as endpoint:
        yield endpoint


@dataclass(frozen=True)
class Gateway:
    endpoint: str
    root: Path


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("versitygw")
    with s3_servers.versitygw(folder) as endpoint:
        s3_servers.add_user(endpoint, POWERLESS_KEY)
        yield Gateway(endpoint, folder / "data")


@pytest.fixture(scope="session")
def minio_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_servers.minio(tmp_path_factory.mktemp("minio")) as endpoint:
        yield endpoint


# A client takes half a second to make, so the tests of a server share one.
@pytest.fixture(scope="session")
def moto_client(moto_endpoint: str) -> Iterator[Any]:
    with s3_servers.client_of(moto_endpoint) as client:
        yield client


@pytest.fixture(scope="session")
def minio_client(minio_endpoint: str) -> Iterator[Any]:
    with s3_servers.client_of(minio_endpoint) as client:
        yield client


@pytest.fixture(scope="session")
def gateway_client(gateway: Gateway) -> Iterator[Any]:
    with s3_servers.client_of(gateway.endpoint) as client:
        yield client


@pytest.fixture
def moto_lab(moto_client) -> Lab:
    return _bucket_lab(moto_client)


@pytest.fixture
def minio_lab(minio_client) -> Lab:
    return _bucket_lab(minio_client)


def _bucket_lab(client) -> Lab:
    """A bucket of its own, whose objects are damaged by writing them again."""
    bucket = f"bucket-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)

    def flip(key: str) -> None:
        address = {"Bucket": bucket, "Key": f"some/prefix/{key}"}
        there = client.get_object(**address)
        data = _flipped(there["Body"].read())
        client.put_object(**address, Body=data, Metadata=there["Metadata"])

    return Lab(S3Store(client, bucket, "some/prefix"), flip, client, bucket)


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


_LABS = {"local": "local_lab", "moto": "moto_lab", "versitygw": "gateway_lab", "minio": "minio_lab"}


@pytest.fixture(params=_LABS)
def lab(request: pytest.FixtureRequest) -> Lab:
    """Every store in turn."""
    return request.getfixturevalue(_LABS[request.param])


@pytest.fixture(params=[name for name in _LABS if name != "local"])
def s3_lab(request: pytest.FixtureRequest) -> Lab:
    """Every S3 server in turn."""
    return request.getfixturevalue(_LABS[request.param])


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
def proxied(s3_lab, aws_settings) -> Iterator[tuple[S3Store, FaultProxy]]:
    """A store that reaches a server only through a proxy, and the proxy."""
    with fault_proxy(s3_lab.client.meta.endpoint_url) as proxy:
        aws_settings(proxy.endpoint)
        with closing(make_client()) as client:
            yield S3Store(client, s3_lab.bucket, "some/prefix"), proxy


@pytest.fixture
def at_once(monkeypatch) -> None:
    """No waiting between repeated calls, neither ours nor the client's."""
    s3_servers.repeat_at_once(monkeypatch)
