"""A complete sweep is only called so after its records were hashed anew; what is gone is made again."""

from __future__ import annotations

import pytest

from fingpt.errors import MissingInputError, StorageError
from fingpt.runs.links import LinkStatus
from fingpt.runs.verify import require_sound
from fingpt.storage import open_store
from fingpt.sweeps.records import ask_key, choice_key, complete_key, tell_key
from fingpt.sweeps.sweep import create_sweep
from fingpt.sweeps.verify import verify_sweep
from tests.jobs.commands import command
from tests.sweeps.studies import MODEL, frozen
from tests.sweeps.test_controller import carried_out


@pytest.fixture
def store(tmp_path):
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture
def sweep(store, tmp_path):
    made = frozen(store, tmp_path)
    create_sweep(store, made)
    carried_out(store, made)
    return made


def statuses(store, sweep) -> dict[str, LinkStatus]:
    return {link.key: link.status for link in verify_sweep(store, sweep.id)}


@pytest.mark.parametrize(
    "key_of", [tell_key, ask_key, lambda sweep, model, _: choice_key(sweep, model)]
)
def test_a_record_that_is_damaged_is_named_and_made_again_once_it_is_deleted(
    store, sweep, tmp_path, key_of
):
    key = key_of(sweep.id, MODEL, 1)
    path = tmp_path / "store" / key
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0", b"1"))
    assert statuses(store, sweep)[key] is LinkStatus.DAMAGED
    with pytest.raises(
        StorageError, match=f"{key} is damaged: .* or delete it and give the command"
    ):
        carried_out(store, sweep)
    with pytest.raises(StorageError, match=r"Sweep grid-.* does not verify"):
        require_sound(sweep.id, verify_sweep(store, sweep.id), kind="Sweep")
    path.unlink()
    assert statuses(store, sweep)[key] is LinkStatus.MISSING
    carried_out(store, sweep)
    assert path.read_bytes() == whole
    assert set(statuses(store, sweep).values()) == {LinkStatus.OK}


def test_a_record_in_another_one_s_place_is_found(store, sweep, tmp_path):
    first, second = (tmp_path / "store" / ask_key(sweep.id, MODEL, n) for n in (0, 1))
    second.write_bytes(first.read_bytes())  # whole, with a seal that matches
    found = statuses(store, sweep)
    assert [key for key, its in found.items() if its is LinkStatus.DAMAGED] == [
        ask_key(sweep.id, MODEL, 0).rpartition("/")[0] + "/"
    ]
    with pytest.raises(StorageError, match="are not those that the sweep ended with"):
        carried_out(store, sweep)


def test_the_last_record_is_made_again_and_a_sweep_without_it_has_nothing_to_verify(
    store, sweep, tmp_path
):
    (tmp_path / "store" / complete_key(sweep.id)).unlink()
    with pytest.raises(MissingInputError, match="is not complete"):
        verify_sweep(store, sweep.id)
    _, workers = carried_out(store, sweep)
    assert workers.started == []
    assert set(statuses(store, sweep).values()) == {LinkStatus.OK}


def test_the_command_verifies_a_sweep(store, sweep, tmp_path):
    said = command(tmp_path, "verify", "--sweep", sweep.id)
    assert said.returncode == 0, said.stderr
    assert f"sweeps/{sweep.id}/sweep.json" in said.stdout
    (tmp_path / "store" / tell_key(sweep.id, MODEL, 0)).write_bytes(b"{")
    said = command(tmp_path, "verify", "--sweep", sweep.id)
    assert said.returncode == 74, said.stderr
    assert f"damaged  {tell_key(sweep.id, MODEL, 0)}" in said.stdout
    said = command(tmp_path, "verify", "--sweep", sweep.id, "--run", "x")
    assert said.returncode == 64
