"""Which keys are allowed: one rule for every store, so that objects can move from one to another.

Keys also come out of manifests that somebody else may have written, and become paths below a folder: this check is
what keeps `../` and absolute paths from leaving it.
"""

from __future__ import annotations

from fingpt.errors import DataError

# LocalStore writes here first; no object may live in it.
ASIDE = ".aside"

_MAX_SEGMENT_BYTES = 255  # ext4, XFS, APFS
MAX_KEY_BYTES = 900  # S3 takes 1024 in all; the rest is left to the store's own prefix


def check_key(key: str) -> str:
    """`key` itself when it is a relative POSIX path of plain segments; DataError naming the fault otherwise."""
    fault = _fault(key)
    if fault:
        raise DataError(
            f"The object key {key[:200]!r} {fault}; keys are relative paths such as runs/a/run.json."
        )
    return key


def is_key(key: str) -> bool:
    """Whether an object can have that key."""
    return not _fault(key)


def check_prefix(prefix: str) -> str:
    """`prefix` itself when it is empty or the beginning of a possible key; DataError otherwise."""
    if prefix.strip("/") or prefix.startswith("/"):
        check_key(prefix.removesuffix("/"))
    return prefix


def _fault(key: str) -> str:
    segments = key.split("/")
    if not key.isprintable() or "\\" in key:
        return "holds a backslash, a NUL or another character that cannot be printed"
    if "" in segments:
        return "is absolute, empty, or has an empty segment"
    if "." in segments or ".." in segments or segments[0] == ASIDE:
        return f"has a segment '.', '..' or starts with '{ASIDE}'"
    if max(len(segment.encode()) for segment in segments) > _MAX_SEGMENT_BYTES:
        return f"has a segment longer than {_MAX_SEGMENT_BYTES} bytes"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    return ""
