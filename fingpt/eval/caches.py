"""Where compiled kernels lie: in the cache folder, where the next pod finds them, for home is closed in a pod.

Inductor and Triton name what they keep by source, card and their own versions, so one folder serves all machines.
"""

from __future__ import annotations

import os
from pathlib import Path


def compiled_cache(cache: Path, scratch: Path) -> Path:
    """A folder for compiled code: in `cache`, where later pods find it, or in `scratch` where that is closed."""
    folder = cache / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return scratch / "compiled"
    return folder if os.access(folder, os.W_OK | os.X_OK) else scratch / "compiled"


def tell_compilers(folder: Path) -> None:
    """Let torch's compilers keep their work in `folder`; they take it from the environment alone."""
    os.environ |= {
        "TRITON_CACHE_DIR": str(folder / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    }
