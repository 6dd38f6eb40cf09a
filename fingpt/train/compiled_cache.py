"""Where compiled code outlives a pod: a folder of the cache, one for each card, driver and set of versions.

Both compilers name what they keep by the source they compiled and by their own version; card and driver they know only
in part. What lies there is run as code, and part of it is pickled, so a folder that others can write to is not used.
Imports no torch: the supervisor names the folder before the trainer starts.
"""

from __future__ import annotations

import os
import platform
import stat
import sys
from importlib import metadata
from pathlib import Path

from fingpt import log
from fingpt.record import canonical_json, sha256_bytes

_DRIVER = Path("/proc/driver/nvidia")
_LIBRARIES = ("torch", "triton", "nvidia-cudnn-frontend")


def compiled_folder(cache: Path, scratch: Path, driver: Path = _DRIVER) -> Path:
    """A folder for compiled code: in `cache` where it is this user's alone, else in `scratch`, which ends with the pod.

    `driver` is where the NVIDIA driver describes itself; without one nothing is compiled, and `scratch` does.
    """
    aside = scratch / "compiled"
    about = described(driver)
    if not about:
        return aside
    data = canonical_json(about)
    folder = cache / "compiled" / "train" / sha256_bytes(data)[:16]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            reason = "it is no folder"
        elif found.st_uid != os.geteuid():
            reason = "it is another user's"
        elif found.st_mode & stat.S_IWOTH:
            reason = "everybody can write to it"
        else:
            (folder / "about.json").write_bytes(data)
            return folder
    except OSError as error:
        reason = error.strerror or str(error)
    log.warning("compiled code is not kept for later runs", folder=str(folder), reason=reason)
    return aside


def described(driver: Path = _DRIVER) -> dict[str, str]:
    """Cards, driver and versions that compiled code depends on; {} on a machine without NVIDIA's driver."""
    try:
        version = (driver / "version").read_text(encoding="utf-8", errors="replace").splitlines()[0]
        cards = sorted({_model(path) for path in driver.glob("gpus/*/information")})
    except (OSError, IndexError):
        return {}
    found = {"driver": " ".join(version.split()), "cards": ", ".join(cards)}
    found |= {"python": platform.python_version(), "machine": platform.machine()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {**found, "interpreter": sys.implementation.cache_tag or ""}


def _model(information: Path) -> str:
    for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Model":
            return value.strip()
    return "unknown"
