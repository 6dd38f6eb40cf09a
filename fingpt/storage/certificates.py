"""Certificate files that the environment names are tried before any connection is made.

The libraries find a missing one at their first handshake, and say neither which variable named it nor that it is one.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from fingpt.config import certificate_variables
from fingpt.errors import SetupError


def require_certificates() -> None:
    """SetupError naming the variable whose file is missing, cannot be read, or holds no certificate."""
    for variable, path in certificate_variables().items():
        check_certificates(path, variable)


def check_certificates(path: Path, setting: str) -> None:
    """SetupError naming `setting` unless `path` is a file of PEM certificates, or a folder of them."""
    reason = _fault(path)
    if reason:
        raise SetupError(
            f"{setting} names {path}, which {reason}; name the file of your certificate authority, or unset it."
        )


def _fault(path: Path) -> str:
    """What is wrong with certificates in `path`, empty when nothing is."""
    try:
        there = path.stat()
        _load(path, (there.st_ino, there.st_size, there.st_mtime_ns))
    except ssl.SSLError:
        return "is no file of PEM certificates"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""


# Several variables often name one large file, and each client asks again.
@lru_cache(maxsize=16)
def _load(path: Path, version: tuple[int, ...]) -> None:  # noqa: ARG001 - tells a changed file from the one that was read
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if path.is_dir():
        context.load_verify_locations(capath=path)
    else:
        context.load_verify_locations(cafile=path)
