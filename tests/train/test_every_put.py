"""Every object that a small training stores, lost on its way there or on its way back, with and without a power cut.

A real S3 server where one is named, else moto, behind a proxy that knows which object a PUT is for.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from queue import SimpleQueue
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest

from fingpt.runs.run import Run, Stage, commit_key, complete_key, run_key, run_prefix, stage_prefix
from fingpt.runs.verify import LinkStatus, verify
from fingpt.storage.s3 import S3Store
from fingpt.storage.s3_client import make_client
from tests import s3_servers
from tests.fault_proxy import Exchange, Fault, FaultProxy, drop_request, fault_proxy
from tests.train.warm import Start

pytestmark = pytest.mark.slow

TRAIN = {"max_steps": 2, "batch_size": 1, "accumulation": 1, "eval_every": 1.0, "save_every": 1}
OBJECTS = 23  # claim, heartbeat, 2 checkpoints of 7 files and their commits, adapter (2), metrics, COMPLETE, ending
WAYS = ("request", "answer")


def kind_of(path: str) -> str:
    """Which object a key is for: the same name in every run, whatever its nonce and however often it beats."""
    name = unquote(urlsplit(path).path).partition("/train/")[2]
    name = re.sub(r"(ckpt/\d+)-[0-9a-f]+", r"\1", name)
    return "heartbeats" if name.startswith("heartbeats/") else name


class Lab:
    """A server with the base and the data set; a run at a time, in a prefix of its own."""

    def __init__(self, proxy: FaultProxy, client, folder: Path, base_folder: Path, make) -> None:
        self.proxy, self._client, self._folder, self._base = proxy, client, folder, base_folder
        self._make, self._count, self._bucket = make, 0, f"every-put-{uuid4().hex[:8]}"
        client.create_bucket(Bucket=self._bucket)
        self.stored: Counter[str] = Counter()

    def new_run(self) -> Run:
        """A run in an empty store; what is stored from now on is counted by path."""
        self._count += 1
        self.folder = self._folder / str(self._count)
        self.folder.mkdir()
        self.proxy.plan = lambda _: None
        self.store = S3Store(self._client, self._bucket, f"case-{self._count}")
        run = self._make(self.folder, self._base, store=self.store).run(**TRAIN)
        self.stored.clear()
        return run

    def start(self, run: Run, name: str) -> Start:
        return Start(f"{self.store.uri}/{run_key(run.id)}", self.folder / f"{name}.log")

    def send(self, exchange: Exchange):
        """Let the server have a PUT, and count what it stores."""
        answer = exchange.forward()
        if answer.status == HTTPStatus.OK:
            self.stored[urlsplit(exchange.path).path] += 1
        return answer

    def count(self, exchange: Exchange) -> Fault | None:
        """The plan in which nothing fails."""
        if exchange.method != "PUT":
            return None
        return lambda exchange: exchange.reply(self.send(exchange))

    def check(self, run: Run, wanted: bytes) -> None:
        """The run is complete, its records agree, its adapter is the right one, nothing was written twice."""
        assert self.store.exists(complete_key(run.id, Stage.TRAIN))
        adapter = f"{stage_prefix(run.id, Stage.TRAIN)}/adapter/adapter_model.safetensors"
        assert self.store.read(adapter) == wanted
        links = verify(self.store, run.id, deep=True)
        # The bytes of the test rows are nowhere, so that a training that reads them fails.
        links = [link for link in links if not link.key.endswith("/test.jsonl")]
        faults = [x for x in links if x.status in (LinkStatus.DAMAGED, LinkStatus.MISSING)]
        assert [x.key for x in faults] == [complete_key(run.id, Stage.EVAL)], faults
        commits = [key for key in self.store.keys(run_prefix(run.id)) if "/commits/" in key]
        assert commits == [commit_key(run.id, n) for n in range(1, len(commits) + 1)]
        assert max(self.stored.values()) == 1, self.stored


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    named = {"FINGPT_VERSITYGW": s3_servers.versitygw, "FINGPT_MINIO": s3_servers.minio}
    server = next((make for name, make in named.items() if os.environ.get(name)), None)
    with server(folder) if server else s3_servers.moto() as address:
        yield address


@pytest.fixture
def lab(endpoint, tmp_path, base_folder, invent, monkeypatch) -> Iterator[Lab]:
    s3_servers.forget_aws_settings(monkeypatch)
    with fault_proxy(endpoint) as proxy:
        s3_servers.use(monkeypatch, proxy.endpoint)
        with closing(make_client()) as client:
            yield Lab(proxy, client, tmp_path, base_folder, invent.world)


def undisturbed(lab: Lab) -> tuple[list[str], bytes]:
    """The objects that the stage stores, in order, and the adapter."""
    run, kinds = lab.new_run(), Counter[str]()

    def note(exchange: Exchange) -> Fault | None:
        if exchange.method == "PUT":
            kinds[kind_of(exchange.path)] += 1
        return lab.count(exchange)

    lab.proxy.plan = note
    start = lab.start(run, "undisturbed")
    assert start.wait() == 0, start.text
    adapter = lab.store.read(f"{run_prefix(run.id)}/train/adapter/adapter_model.safetensors")
    lab.check(run, adapter)
    assert len(kinds) == OBJECTS, kinds
    assert all(count == 1 for kind, count in kinds.items() if kind != "heartbeats"), kinds
    return list(kinds), adapter


@pytest.mark.parametrize("way", WAYS)
def test_a_stage_that_loses_every_put_once_goes_on_by_itself(lab, way):
    kinds, adapter = undisturbed(lab)
    run, lost = lab.new_run(), Counter()

    def lose(exchange: Exchange) -> None:
        if way == "answer":
            lab.send(exchange)
            exchange.hang_up()
        else:
            drop_request(exchange)

    def plan(exchange: Exchange) -> Fault | None:
        kind = kind_of(exchange.path)
        if exchange.method != "PUT" or lost[kind]:
            return lab.count(exchange)
        lost[kind] += 1
        return lose

    lab.proxy.plan = plan
    start = lab.start(run, "disturbed")
    assert start.wait() == 0, start.text
    lab.check(run, adapter)
    assert sorted(lost) == sorted(kinds)
    print(f"{len(lost)} of {len(kinds)} PUTs lost their {way}; one start, nothing lost")


def power_cut(lab: Lab, run: Run, kind: str, way: str) -> None:
    """Start the stage and kill all of it at its PUT of `kind`, before or after the server has the object."""
    hit: list[str] = []
    victim: SimpleQueue[Start] = SimpleQueue()

    def cut(exchange: Exchange) -> None:
        if way == "answer":
            lab.send(exchange)
        victim.get(timeout=10).kill_both()
        exchange.hang_up()

    def plan(exchange: Exchange) -> Fault | None:
        if exchange.method != "PUT" or hit or kind_of(exchange.path) != kind:
            return lab.count(exchange)
        hit.append(kind)
        return cut

    lab.proxy.plan = plan
    start = lab.start(run, "victim")
    victim.put(start)
    assert start.wait() == 137, start.text
    assert hit == [kind]


@pytest.mark.parametrize(
    "way",
    [
        pytest.param("request", marks=pytest.mark.part3),
        pytest.param("answer", marks=pytest.mark.part5),
    ],
)
def test_a_power_cut_at_any_put_is_made_good_by_the_next_start(lab, way):
    kinds, adapter = undisturbed(lab)
    for kind in kinds:
        run = lab.new_run()
        power_cut(lab, run, kind, way)
        start = lab.start(run, "next")
        assert start.wait() == 0, (kind, start.text)
        lab.check(run, adapter)
    print(f"{len(kinds)} power cuts, one at the {way} of each PUT; each made good by one start")
