"""A real S3 server for benchmarks: versitygw over a folder, whose sub-folders are its buckets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fingpt.errors import SetupError
from tests.s3_servers import ACCESS_KEY, SECRET_KEY, versitygw


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of the buckets, and the settings by which a process reaches them."""
    program = os.environ.get("FINGPT_VERSITYGW") or shutil.which("versitygw")
    if not program:
        raise SetupError(
            "no S3 server is here: install versitygw, or name its program in FINGPT_VERSITYGW."
        )
    os.environ["FINGPT_VERSITYGW"] = program
    with versitygw(folder) as endpoint:
        yield (
            folder / "data",
            {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": "/nonexistent/config",
                "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            },
        )
