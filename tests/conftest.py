"""What every test gets: a clean environment, a store in a temporary folder, and the real rows where they are."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from fingpt.storage import ObjectStore, open_store

# Caches of the libraries under test, so that a test can neither read nor leave anything in a person's home.
_CACHES = {
    "HF_HOME": "hf",
    "HF_EVALUATE_CACHE": "hf-evaluate",
    "HF_MODULES_CACHE": "hf-modules",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "EDGAR_LOCAL_DATA_DIR": "edgar",
    "FINGPT_CACHE": "fingpt",
    "TRITON_CACHE_DIR": "triton",
}
_SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",  # workers of pytest-xdist share the cores already
    "AWS_EC2_METADATA_DISABLED": "true",
}
_FOLDER = pytest.StashKey[str]()
MARKS = pytest.StashKey[dict[str, frozenset[str]]]()

# How long one example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before any library is imported: some read it only then. Child processes inherit it."""
    gc.disable()  # until all is imported: of a collection's 18 seconds of CPU it takes five, and finds nothing
    folder = tempfile.mkdtemp(prefix="fingpt-tests-")
    config.stash[_FOLDER] = folder
    for name in [name for name in os.environ if name.startswith(("AWS_", "FINGPT_STORE"))]:
        del os.environ[name]
    os.environ.update({name: str(Path(folder, part)) for name, part in _CACHES.items()})
    os.environ.update(_SETTINGS)
    # Else every worker compiles all tests anew, and every command that they start all of the project.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # What a test writes need not outlast the machine's power, and hundreds of tests wait for the disk otherwise. That
    # objects are synced, and when, tests see that put their own function here.
    os.fsync = lambda _: None


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their parameter: their own text may hold a time, and workers that read the clock a second apart
    must collect the same tests."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the marks of all tests, those included that this session leaves out."""
    config.stash[MARKS] = {
        item.nodeid: frozenset(mark.name for mark in item.iter_markers()) for item in items
    }


@pytest.fixture(scope="session")
def marks(pytestconfig: pytest.Config) -> dict[str, frozenset[str]]:
    """Test → its marks, for every test that was collected, whether it runs here or not."""
    return pytestconfig.stash[MARKS]


def pytest_collection_finish() -> None:
    """What was imported until now is no garbage: a collection need not walk through a million of its objects."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind."""
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """An empty store in a folder of this test's own."""
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture
def old_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without bf16, as far as fingpt.hardware asks."""
    import torch  # most tests do without

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "An Old GPU")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of published rows (train.parquet, test.parquet, generations/), named by FINGPT_REAL_DATA."""
    named = os.environ.get("FINGPT_REAL_DATA")
    if not named:
        pytest.skip("FINGPT_REAL_DATA names no folder with the published rows.")
    folder = Path(named)
    if not (folder / "test.parquet").is_file():
        pytest.skip(f"FINGPT_REAL_DATA={named} holds no test.parquet.")
    return folder


@pytest.fixture
def interrupted_start(monkeypatch) -> Iterator[list[subprocess.Popen]]:
    """A Ctrl-C comes while a process of a session of its own is started; what was started, asleep for a minute."""
    started = []

    class Starting(subprocess.Popen):
        def __init__(self, words, *others, **options):
            ours = options.get("start_new_session", False)  # a library may ask for `uname` before
            super().__init__(["sleep", "60"] if ours else words, *others, **options)
            if ours:
                started.append(self)
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Starting)
    yield started
    for process in started:
        process.kill()
        process.wait()
