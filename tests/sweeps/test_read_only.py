"""A store that may only be read, before a sweep and in the midst of one: 77, nothing half-written, and it goes on."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from fingpt.errors import FingptError, PermissionDeniedError
from fingpt.runs.attempt import Claim
from fingpt.runs.backend import Mode
from fingpt.runs.links import LinkStatus
from fingpt.storage import ObjectStore, open_store
from fingpt.sweeps.controller import carry_out_alone
from fingpt.sweeps.status import sweep_status
from fingpt.sweeps.submitting import submit
from fingpt.sweeps.sweep import create_sweep
from fingpt.sweeps.verify import verify_sweep
from tests import s3_servers
from tests.sweeps.studies import InstantPlace, InstantWorkers, defined, frozen
from tests.sweeps.test_controller import results

BUCKET, READER, NOBODY = "bucket", "reader-key", 65534
READING = [
    {"Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{BUCKET}/*"]},
    {"Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{BUCKET}"]},
]


@dataclass
class Lab:
    """A store, and the same one as somebody has it, for a while, who may only read it."""

    store: ObjectStore
    read_only: Callable[[], AbstractContextManager[ObjectStore]]


@contextmanager
def folder(patch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Lab]:
    """Not below pytest's own folder, which other users may not enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        root = Path(name) / "store"

        @contextmanager
        def read_only() -> Iterator[ObjectStore]:
            folders = [Path(name), *(path for path in Path(name).rglob("*") if path.is_dir())]
            for each in folders:
                each.chmod(0o555)
            as_root = os.geteuid() == 0  # whom no mode stops
            if as_root:
                os.seteuid(NOBODY)
            try:
                yield open_store(root.as_uri())
            finally:
                if as_root:
                    os.seteuid(0)
                for each in folders:
                    each.chmod(0o755)

        yield Lab(open_store(root.as_uri()), read_only)


@contextmanager
def versitygw(patch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Lab]:
    with s3_servers.versitygw(tmp_path) as endpoint:
        s3_servers.add_user(endpoint, READER)
        said = [
            {"Effect": "Allow", "Principal": {"AWS": [READER]}, **statement}
            for statement in READING
        ]
        with made(patch, endpoint) as client:
            client.put_bucket_policy(
                Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": said})
            )
        yield Lab(open_store(f"s3://{BUCKET}/runs"), lambda: acting(AWS_ACCESS_KEY_ID=READER))


@contextmanager
def minio(patch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Lab]:
    with s3_servers.minio(tmp_path) as endpoint:
        with (
            made(patch, endpoint),
            contextlib.closing(boto3.client("sts", region_name="us-east-1")) as sts,
        ):
            said = [{"Effect": "Allow", **statement} for statement in READING]
            taken = sts.assume_role(
                RoleArn="arn:minio:iam:::role/any",
                RoleSessionName="reader",
                Policy=json.dumps({"Version": "2012-10-17", "Statement": said}),
            )["Credentials"]
        words = {
            "AWS_ACCESS_KEY_ID": taken["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": taken["SecretAccessKey"],
            "AWS_SESSION_TOKEN": taken["SessionToken"],
        }
        yield Lab(open_store(f"s3://{BUCKET}/runs"), lambda: acting(**words))


@contextmanager
def made(patch: pytest.MonkeyPatch, endpoint: str) -> Iterator[Any]:
    """The bucket, and a client of its administrator."""
    s3_servers.forget_aws_settings(patch)
    s3_servers.use(patch, endpoint)
    with s3_servers.client_of(endpoint) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


@contextmanager
def acting(**words: str) -> Iterator[ObjectStore]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in words.items():
            patch.setenv(name, value)
        yield open_store(f"s3://{BUCKET}/runs")


@pytest.fixture(params=[folder, versitygw, minio], ids=lambda kind: kind.__name__)
def lab(request, monkeypatch, tmp_path) -> Iterator[Lab]:
    place = tmp_path / "server"
    place.mkdir()
    with request.param(monkeypatch, place) as found:
        yield found


class Turning:
    """A store behind which another one is put."""

    def __init__(self, store: ObjectStore) -> None:
        self.now, self.uri = store, store.uri

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


def test_nothing_is_frozen_where_nothing_can_be_written(lab, tmp_path, monkeypatch):
    lab.store.create("a", b"")
    monkeypatch.setenv("FINGPT_STORE", lab.store.uri)
    configs = list(frozen(open_store((tmp_path / "rows").as_uri()), tmp_path).bases.values())
    before = list(lab.store.keys())
    with lab.read_only(), pytest.raises(PermissionDeniedError) as fault:
        submit("grid", defined(), configs, Mode.LOCAL, follow=True)
    assert fault.value.exit_code == 77
    assert len(str(fault.value).splitlines()) == 1
    assert list(lab.store.keys()) == before


def test_a_sweep_whose_store_turns_read_only_ends_with_77_is_readable_and_goes_on(lab, tmp_path):
    store = Turning(lab.store)
    sweep = frozen(store, tmp_path)
    create_sweep(store, sweep)
    workers = InstantWorkers(store, sweep, lambda run: turns_now() if len(told()) == 2 else None)

    def told() -> list[str]:
        return [key for key in store.keys("sweeps/") if "/tells/" in key]

    with ExitStack() as stack:

        def turns_now() -> None:
            store.now = stack.enter_context(lab.read_only())

        with pytest.raises(FingptError) as fault:
            carry_out_alone(sweep, store, InstantPlace(store, workers))
        assert fault.value.exit_code == 77
        found = sweep_status(store, sweep.id, datetime.now(UTC))
        assert (found.state, found.studies[0].told) == ("searching", 2)
    store.now = lab.store
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Claim, "is_gone", lambda _: True)  # as it is where the process has ended
        manifest = carry_out_alone(sweep, store, InstantPlace(store, InstantWorkers(store, sweep)))
    assert [each.state for each in manifest.tells["tiny-llama31"]] == ["complete"] * 4
    with lab.read_only() as reader:
        assert {link.status for link in verify_sweep(reader, sweep.id)} == {LinkStatus.OK}


class Closing:
    """A store in which nothing can be written any more after `most` writes."""

    def __init__(self, store: ObjectStore, most: int) -> None:
        self._store, self.left, self.uri = store, most, store.uri

    def create(self, key: str, data: bytes) -> bool:
        self.left -= 1
        if self.left < 0:
            raise PermissionDeniedError(f"{key} cannot be accessed.")
        return self._store.create(key, data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_wherever_writing_ends_the_sweep_ends_with_77_and_later_as_any_other(
    store, tmp_path, monkeypatch
):
    monkeypatch.setattr(Claim, "is_gone", lambda _: True)
    whole = Closing(store, 1 << 20)
    sweep = frozen(store, tmp_path)
    create_sweep(store, sweep)

    def carried_out(place: ObjectStore) -> Any:
        return carry_out_alone(sweep, place, InstantPlace(place, InstantWorkers(place, sweep)))

    reference = carried_out(whole)
    writes = (1 << 20) - whole.left
    for most in range(0, writes, 23):
        place = open_store((tmp_path / f"closing-{most}").as_uri())
        create_sweep(place, frozen(place, tmp_path))
        with pytest.raises(FingptError) as fault:
            carried_out(Closing(place, most))
        assert fault.value.exit_code == 77, f"after {most} writes: {fault.value}"
        assert results(carried_out(place)) == results(reference), f"after {most} writes"
