"""What a training with several ranks listens on. Slow: it starts torchrun and its ranks."""

from __future__ import annotations

import ipaddress
import time

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("torch_as_before")]


def listening(process: psutil.Process) -> set[str]:
    """Addresses that a process, or one that it started, listens on at this moment."""
    found = set()
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return found
    for each in family:
        try:
            connections = each.net_connections(kind="inet")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.parametrize("zero_stage", [None, 0])
def test_no_rank_and_no_launcher_listens_beyond_loopback(world, tmp_path, zero_stage):
    run = world.run(max_steps=6, processes=2, batch_size=1, accumulation=1, zero_stage=zero_stage)
    log = tmp_path / "log"
    with log.open("w") as file:
        process = world.start(run, file)
    family, found = psutil.Process(process.pid), set()
    while process.poll() is None:
        found |= listening(family)
        time.sleep(0.02)
    assert process.returncode == 0, log.read_text()
    assert found, "gloo listens somewhere"
    beyond = {each for each in found if not ipaddress.ip_address(each).is_loopback}
    assert not beyond
    # Nothing of torchrun, DeepSpeed and the other libraries stands between our lines.
    assert [line for line in log.read_text().splitlines() if not line.startswith('{"ts"')] == []
