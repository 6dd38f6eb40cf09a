"""obstore connects as boto3's client does, by the same proxies, certificates and credentials, or is left alone."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import ssl
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from boto3.session import Session
from botocore import UNSIGNED
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fingpt.storage import s3, s3_ranges, s3_signed
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from fingpt.storage.s3_signed import SignedObject, options_like
from tests.fault_proxy import fault_proxy

DATA = hashlib.shake_256(b"seed").digest((6 << 20) + 7)
SHA256 = hashlib.sha256(DATA).hexdigest()
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def small_parts(monkeypatch) -> None:
    """What is above 5 MiB comes in parts of 1 MiB."""
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 << 20)
    monkeypatch.setattr(s3_ranges, "_PART_BYTES", 1 << 20)


def options(**more):
    """Options for a client of the settings as they are, with `more` of its arguments."""
    with closing(Session().client("s3", region_name="us-east-1", **more)) as client:
        return options_like(client)


def signed(name: x509.Name, issuer: x509.Name, key, by, *extensions) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1))
    builder = builder.not_valid_after(now + timedelta(hours=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(by, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> tuple[Path, ssl.SSLContext]:
    """A private authority's certificate, and a server's TLS with a certificate of it for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in ("lab", "server")
    )
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    root = signed(root_name, root_name, root_key, root_key, constraints)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = signed(name, root_name, key, root_key, address)
    (folder / "ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(private + leaf.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return folder / "ca.pem", context


def test_a_private_authority_is_trusted_as_boto3_trusts_it(
    moto_lab, aws_settings, monkeypatch, small_parts, authority, tmp_path, caplog
):
    moto_lab.client.put_object(Bucket=moto_lab.bucket, Key="a", Body=DATA)
    bundle, tls = authority
    asked = []
    with fault_proxy(moto_lab.client.meta.endpoint_url, tls) as server:
        server.plan = lambda exchange: asked.append("X-Amz-Signature" in exchange.path)
        aws_settings(server.endpoint)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        with closing(make_client()) as client:
            S3Store(client, moto_lab.bucket).download("a", tmp_path / "a", SHA256)
    assert asked == [False] + [True] * 7
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("variable", "bypassed"), [("HTTP_PROXY", False), ("HTTP_PROXY", True), ("ALL_PROXY", True)]
)
def test_a_proxy_of_the_environment_is_used_or_bypassed_as_boto3_does(
    moto_lab, aws_settings, monkeypatch, small_parts, tmp_path, variable, bypassed
):
    moto_lab.client.put_object(Bucket=moto_lab.bucket, Key="a", Body=DATA)
    endpoint = moto_lab.client.meta.endpoint_url
    aws_settings(endpoint)
    asked = []
    with fault_proxy(endpoint) as proxy:
        proxy.plan = lambda exchange: asked.append("X-Amz-Signature" in exchange.path)
        monkeypatch.setenv(variable, proxy.endpoint)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1" if variable == "HTTP_PROXY" and bypassed else "")
        with closing(make_client()) as client:
            S3Store(client, moto_lab.bucket).download("a", tmp_path / "a", SHA256)
    assert asked == ([] if bypassed else [False] + [True] * 7)


def test_timeouts_are_boto3_s_and_a_part_may_take_long(aws_settings):
    aws_settings(NOWHERE)
    chosen = options(config=Config(connect_timeout=3, read_timeout=50))
    assert chosen["connect_timeout"] == timedelta(seconds=3)
    assert chosen["read_timeout"] == timedelta(seconds=50)
    assert chosen["timeout"] >= timedelta(hours=1)


@pytest.mark.parametrize(
    "more",
    [
        {"config": Config(client_cert="/some/client.pem")},
        {"config": Config(proxies_config={"proxy_use_forwarding_for_https": True})},
        {"verify": False},
    ],
    ids=["client certificate", "proxy settings", "unverified"],
)
def test_what_obstore_cannot_do_is_left_to_boto3(aws_settings, more):
    aws_settings("https://127.0.0.1:9")
    assert options() is not None
    assert options(**more) is None


@pytest.mark.parametrize(
    "content", [None, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_certificates_that_obstore_cannot_read_are_left_to_boto3(aws_settings, tmp_path, content):
    aws_settings("https://127.0.0.1:9")
    bundle = tmp_path / "ca"
    if content is None:
        bundle.mkdir()
    else:
        bundle.write_text(content)
    assert options(verify=str(bundle)) is None


def test_a_store_that_is_left_to_boto3_brings_the_same_bytes(
    moto_lab, aws_settings, monkeypatch, small_parts, tmp_path
):
    moto_lab.client.put_object(Bucket=moto_lab.bucket, Key="a", Body=DATA)
    asked = []
    with fault_proxy(moto_lab.client.meta.endpoint_url) as server:
        server.plan = lambda exchange: asked.append(exchange.handler.headers.get("Range"))
        aws_settings(server.endpoint)
        monkeypatch.setattr(s3_ranges, "options_like", lambda _: None)
        with closing(make_client()) as client:
            S3Store(client, moto_lab.bucket).download("a", tmp_path / "a", SHA256)
    assert (tmp_path / "a").read_bytes() == DATA
    assert len(set(asked)) == len(asked) == 8


def test_the_signature_is_renewed_with_the_credentials_of_then(aws_settings, monkeypatch):
    aws_settings(NOWHERE)
    with closing(make_client()) as client:
        found = SignedObject(client, "bucket", "key", options_like(client))
        first = found.store()
        assert found.store() is first
        monkeypatch.setattr(s3_signed, "_RENEWED_SECONDS", -1)
        client._request_signer._credentials.token = "renewed-token"
        second = found.store()
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in first.url
    assert "X-Amz-Expires=900" in first.url
    assert "renewed-token" not in first.url
    assert "X-Amz-Security-Token=renewed-token" in second.url


def test_a_bucket_for_everybody_is_asked_without_a_signature(aws_settings):
    aws_settings(NOWHERE)
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    with closing(Session().client("s3", region_name="us-east-1", config=config)) as client:
        s3_signed.sign_urls_as_requests(client)
        store = SignedObject(client, "bucket", "key", options_like(client)).store()
    assert store.url == f"{NOWHERE}/bucket/key"
