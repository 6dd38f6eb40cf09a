"""Settings that can never work, or would show a secret, are refused before anything is sent, and never shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.utils import parse_timestamp

from fingpt.errors import ConfigError, PermissionDeniedError, SetupError
from fingpt.storage import open_store, s3_client

SECRET = "hunter2"


@pytest.mark.parametrize("bad", [f"{SECRET}\n", f"{SECRET}\nx", f" {SECRET}", f"{SECRET}\u00e9"])
@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_a_key_with_a_line_break_or_blank_is_refused_by_its_variable_s_name(
    aws_settings, monkeypatch, name, bad
):
    aws_settings("http://127.0.0.1:9")
    monkeypatch.setenv(name, bad)
    with pytest.raises(PermissionDeniedError, match=name) as caught:
        open_store("s3://bucket")
    assert SECRET not in str(caught.value)


def test_a_key_with_a_blank_in_the_credentials_file_is_refused(aws_settings, monkeypatch, tmp_path):
    aws_settings("http://127.0.0.1:9", access=None)
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = a\naws_secret_access_key = {SECRET} x\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    with pytest.raises(PermissionDeniedError, match="aws_secret_access_key in the cred") as caught:
        open_store("s3://bucket")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint",
    [f"http://ann:{SECRET}@host:9000", f"http://ann:{SECRET}@ho st", f"x://a:{SECRET}@h"],
)
def test_an_endpoint_with_a_password_is_refused_and_masked(aws_settings, endpoint):
    aws_settings(endpoint)
    with pytest.raises(SetupError, match="AWS_ENDPOINT_URL") as caught:
        open_store("s3://bucket")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "uri", [f"s3://key:{SECRET}@bucket/x", f"https://ann:{SECRET}@host/bucket"]
)
def test_a_store_with_a_password_is_refused_and_masked(uri):
    with pytest.raises(ConfigError) as caught:
        open_store(uri)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_certificate_file_that_is_none_is_named_with_its_variable(
    aws_settings, monkeypatch, tmp_path, name, content
):
    aws_settings("https://127.0.0.1:9")
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(name, str(file))
    with pytest.raises(SetupError, match=f"{name} names {file}"):
        open_store("s3://bucket")


def test_a_certificate_file_of_the_aws_settings_is_tried_too(aws_settings, monkeypatch, tmp_path):
    aws_settings("https://127.0.0.1:9")
    file = tmp_path / "config"
    file.write_text("[default]\nca_bundle = /nonexistent/ca.pem\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    with pytest.raises(SetupError, match=r"ca_bundle.*/nonexistent/ca\.pem"):
        open_store("s3://bucket")


@pytest.mark.parametrize(
    "given",
    [
        "2026-11-27T06:00:00.000Z",
        "2026-11-27T06:00:00Z",
        "2026-11-27T07:00:00+01:00",
        "Fri, 27 Nov 2026 06:00:00 GMT",
        1795759200,
    ],
)
def test_a_time_of_an_answer_is_what_botocore_reads(given):
    assert s3_client._time(given) == parse_timestamp(given)
    assert s3_client._time(given) == datetime(2026, 11, 27, 6, tzinfo=UTC)
