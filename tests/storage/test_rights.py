"""The policies that docs/storage.md prints are enough for what they are for, and for nothing more, on real servers."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

from fingpt.errors import PermissionDeniedError
from fingpt.storage import open_store, probe, s3, upload_tree
from fingpt.storage.deleting import open_deleter
from tests.s3_servers import ACCESS_KEY, SECRET_KEY

DOCUMENT = Path(__file__).parents[2] / "docs" / "storage.md"
POWERLESS_KEY = "powerless-key"
PREFIX = "some/prefix"  # of the labs' stores


def policy(name: str, bucket: str) -> dict:
    """The policy that the document prints under a heading which ends with `name`, for a store of ours."""
    text = DOCUMENT.read_text("utf-8")
    (block,) = re.findall(rf"^#+ .*{name}\n.*?```json\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    return json.loads(block.replace("fingpt-runs", bucket).replace("desk-7", PREFIX))


def be_on_versitygw(request, policy: dict, patch) -> None:
    """Become a user whom the bucket's policy grants this and who has no other right."""
    lab = request.getfixturevalue("gateway_lab")
    principal = {"Principal": {"AWS": [POWERLESS_KEY]}}
    granted = [{**statement, **principal} for statement in policy["Statement"]]
    lab.client.put_bucket_policy(
        Bucket=lab.bucket, Policy=json.dumps({**policy, "Statement": granted})
    )
    patch.setenv("AWS_ACCESS_KEY_ID", POWERLESS_KEY)


def be_on_minio(request, policy: dict, patch) -> None:
    """Take temporary credentials that have these rights alone."""
    endpoint = request.getfixturevalue("minio_endpoint")
    sts = boto3.client(
        "sts",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    taken = sts.assume_role(
        RoleArn="arn:minio:iam:::role/any", RoleSessionName="rights", Policy=json.dumps(policy)
    )["Credentials"]
    sts.close()
    patch.setenv("AWS_ACCESS_KEY_ID", taken["AccessKeyId"])
    patch.setenv("AWS_SECRET_ACCESS_KEY", taken["SecretAccessKey"])
    patch.setenv("AWS_SESSION_TOKEN", taken["SessionToken"])


SERVERS = {"versitygw": ("gateway_lab", be_on_versitygw), "minio": ("minio_lab", be_on_minio)}


@pytest.fixture(params=SERVERS)
def as_granted(request, aws_settings, monkeypatch):
    """Makes the store of a lab, opened with the rights of a policy; also gives the lab."""
    name, become = SERVERS[request.param]
    lab = request.getfixturevalue(name)

    def open_with(rights: str):
        aws_settings(lab.client.meta.endpoint_url)
        become(request, policy(rights, lab.bucket), monkeypatch)
        return lab, open_store(lab.store.uri)

    return open_with


def test_the_policy_for_stages_lets_them_do_all_and_delete_nothing(
    as_granted, tmp_path, monkeypatch
):
    lab, store = as_granted("Stages, people and doctor")
    monkeypatch.setattr(s3, "_MULTIPART_BYTES", 5 << 20)
    monkeypatch.setattr(s3, "_MULTIPART", TransferConfig(5 << 20, 4, 5 << 20))
    probe(store)
    assert not store.exists("runs/a/run.json")
    assert store.create("runs/a/run.json", b"{}")
    assert store.read("runs/a/run.json") == b"{}"
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "large").write_bytes(hashlib.shake_256(b"seed").digest((5 << 20) + 7))
    (file,) = upload_tree(store, folder, "models/x")
    store.download("models/x/large", tmp_path / "back", file.sha256)
    assert list(store.keys("runs/")) == ["runs/a/run.json"]
    with pytest.raises(PermissionDeniedError):
        open_deleter(store).delete("runs/a/run.json")
    assert lab.store.exists("runs/a/run.json")


def test_the_policy_for_clean_lets_it_look_and_delete_and_write_nothing(as_granted):
    lab, store = as_granted("Prune")
    lab.store.create("runs/a/run.json", b"{}")
    assert store.read("runs/a/run.json") == b"{}"
    assert not store.exists("runs/b/run.json")
    with pytest.raises(PermissionDeniedError):
        store.create("runs/b/run.json", b"{}")
    deleter = open_deleter(store)
    assert [found.key for found in deleter.objects("runs/")] == ["runs/a/run.json"]
    deleter.delete("runs/a/run.json")
    assert not lab.store.exists("runs/a/run.json")


@pytest.mark.parametrize("rights", ["Stages, people and doctor", "Prune"])
def test_each_policy_ends_at_the_store_s_prefix(as_granted, rights):
    lab, store = as_granted(rights)
    lab.client.put_object(Bucket=lab.bucket, Key="some/other/run.json", Body=b"{}")
    lab.store.create("runs/a/run.json", b"{}")
    other = open_store(f"s3://{lab.bucket}/some/other")
    with pytest.raises(PermissionDeniedError):
        other.read("run.json")
    with pytest.raises(PermissionDeniedError):
        other.create("mine.json", b"{}")
    with pytest.raises(PermissionDeniedError):
        open_deleter(other).delete("run.json")
    with pytest.raises(PermissionDeniedError):
        list(other.keys())
    assert store.read("runs/a/run.json") == b"{}"


@pytest.mark.parametrize("rights", ["Stages, people and doctor", "Prune"])
def test_no_statement_of_a_policy_reaches_beyond_the_store(rights):
    listing, lookup, objects = policy(rights, "bucket")["Statement"]
    assert listing["Action"] == lookup["Action"] == ["s3:ListBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": [f"{PREFIX}/*"]}}
    assert lookup["Condition"] == {"Null": {"s3:prefix": "true"}}
    assert objects["Resource"] == [f"arn:aws:s3:::bucket/{PREFIX}/*"]
