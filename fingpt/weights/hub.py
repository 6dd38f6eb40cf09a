"""The model hub, through its own client: the files of a repository at a commit, each verified after its download.

The only module that imports huggingface_hub. A token comes from the environment, else from the client's own login; it
is handed to the client and appears nowhere else. mirror.py decides which files are wanted and stores them.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import logging as hub_logging
from pydantic import SecretStr

from fingpt import log
from fingpt.errors import (
    FingptError,
    MissingInputError,
    PermissionDeniedError,
    SetupError,
    StorageError,
    TransientError,
)
from fingpt.models import ModelSpec
from fingpt.record import sha256_file
from fingpt.storage import proxies
from fingpt.storage.certificates import require_certificates
from fingpt.storage.files import require_space, translate_os_errors

_TIMEOUT_SECONDS = 30.0
_CHUNK_BYTES = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 401, 403, 429, 500


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub announces it: size in bytes, and a hash of its bytes.

    `sha256` is there for files in large file storage, as all weights are; the others are known by `blob`, git's SHA-1.
    """

    name: str
    size: int
    sha256: str
    blob: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set on the hub: `base` is its owner/name, `revision` a commit, a branch or a tag."""

    base: str
    revision: str


Repository = ModelSpec | DataSet


class Hub:
    """The hub at `endpoint`, by default the client's own (HF_ENDPOINT), with `token` or the client's own login."""

    def __init__(self, token: SecretStr | None = None, endpoint: str | None = None) -> None:
        text = token.get_secret_value() if token else None
        if text is not None and not _TOKEN.fullmatch(text):
            raise PermissionDeniedError(
                "HF_TOKEN holds a blank or another character that no token has; copy it again from the hub's settings."
            )
        require_certificates()
        # The client's warnings carry signed addresses, and its failures end here as sentences anyway.
        hub_logging.set_verbosity(logging.ERROR)
        # Plain HTTP only: chunk transfer keeps a cache beside the file, and there is disk for one file.
        constants.HF_HUB_DISABLE_XET = True
        self._api = HfApi(endpoint=endpoint, token=text)
        if "@" in self._api.endpoint:
            raise SetupError(
                f"The hub's address {proxies.masked(self._api.endpoint)} has a user name or password in it, which "
                "every message would show; take it out of HF_ENDPOINT and give a token as HF_TOKEN."
            )

    def files(self, repo: Repository) -> dict[str, HubFile]:
        """What a repository holds at its pinned commit, by name.

        Raises MissingInputError (no such repository or commit), PermissionDeniedError (gated, or wrong token),
        TransientError (no or a passing answer), SetupError (the endpoint is no hub, or the client is set offline).
        """
        return self.resolve(repo)[1]

    def resolve(self, repo: Repository) -> tuple[str, dict[str, HubFile]]:
        """The commit that a repository's revision means now, and what `files` says of it; raises what that does."""
        ask = self._api.dataset_info if isinstance(repo, DataSet) else self._api.model_info
        try:
            with self._translated(repo):
                info: Any = ask(
                    repo.base,
                    revision=repo.revision,
                    files_metadata=True,
                    timeout=_TIMEOUT_SECONDS,
                )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self._no_hub("does not answer as a hub does") from None
        commit = str(info.sha)
        pinned = _COMMIT.fullmatch(repo.revision)
        if not _COMMIT.fullmatch(commit) or (pinned and commit != repo.revision):
            raise self._no_hub(
                f"answers with commit {commit[:60]!r} where {repo.revision} was asked for"
            )
        found = {}
        for entry in info.siblings or ():
            sha256 = entry.lfs.sha256 if entry.lfs else ""
            size = entry.lfs.size if entry.lfs else entry.size
            if size is None or not (sha256 or entry.blob_id):
                raise self._no_hub(f"announces no size or no hash of {entry.rfilename}")
            found[entry.rfilename] = HubFile(entry.rfilename, size, sha256, entry.blob_id or "")
        return commit, found

    def download(self, repo: Repository, file: HubFile, folder: Path, meter: log.Meter) -> str:
        """Bring one file to `folder`, verify it and return its sha256; `meter` advances by bytes.

        A broken connection is resumed where it broke. Raises what `files` does, NoSpaceError when
        the disk is full, and StorageError when the bytes are not those announced.
        """
        path = folder / file.name
        count = _Count(meter)
        with translate_os_errors(path, file.size), self._translated(repo, file):
            require_space(path, file.size)
            self._api.hf_hub_download(
                repo.base,
                file.name,
                repo_type="dataset" if isinstance(repo, DataSet) else "model",
                revision=repo.revision,
                local_dir=folder,
                tqdm_class=count.bar,
            )
        # What the client did not count, such as a copy from its own cache.
        meter.advance(file.size - count.done)
        return verify(path, file)

    @contextmanager
    def _translated(self, repo: Repository, file: HubFile | None = None) -> Iterator[None]:
        """Turn the client's failures into the project's errors; OSErrors of the disk pass."""
        try:
            yield
        except hub_errors.LocalEntryNotFoundError as error:
            # "Not in the cache" is what the client makes of any failed request; the cause says which.
            raise self._error(error.__cause__ or error, repo) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, hub_errors.OfflineModeIsEnabled) as error:
            raise self._error(error, repo) from None
        except hub_errors.FileMetadataError as error:
            raise self._error(error, repo) from None
        except OSError as error:
            if error.errno is not None or file is None:
                raise
            raise _differs(
                file, "its size"
            ) from None  # the client's own check, which has no number

    def _error(self, error: BaseException, repo: Repository) -> FingptError:
        if isinstance(error, hub_errors.OfflineModeIsEnabled):
            return SetupError(
                "The hub's client is set offline, so nothing can be mirrored; unset HF_HUB_OFFLINE and "
                "TRANSFORMERS_OFFLINE for this command."
            )
        if isinstance(error, hub_errors.HfHubHTTPError) and hasattr(error, "response"):
            return self._refusal(error, repo)
        if isinstance(error, (httpx2.UnsupportedProtocol, httpx2.InvalidURL)):
            return self._no_hub("is no http:// or https:// address")
        if isinstance(error, httpx2.ProxyError):
            refused = proxies.from_tunnel(f"Cannot read {repo.base} from the hub", str(error))
            if refused:
                return refused
        if isinstance(error, httpx2.TransportError):
            return TransientError(
                f"The hub at {self._api.endpoint} cannot be reached ({type(error).__name__}); what was mirrored stays: "
                "check network, proxy and HF_ENDPOINT, then run the same command again."
            )
        return self._no_hub("does not answer as a hub does")

    def _refusal(self, error: hub_errors.HfHubHTTPError, repo: Repository) -> FingptError:
        """The error for an answer other than success."""
        status = error.response.status_code
        start = f"Cannot read {repo.base} from the hub at {self._api.endpoint}"
        kind = error.response.headers.get("content-type", "")
        foreign = proxies.from_answer(start, status, kind)
        if foreign:
            return foreign
        known = "authorization" in error.response.request.headers
        if isinstance(error, hub_errors.GatedRepoError):
            return self._gated(repo, known)
        if isinstance(error, hub_errors.RevisionNotFoundError):
            pinned = (
                "correct the revision"
                if isinstance(repo, DataSet)
                else "the model table pins it: correct the table"
            )
            return MissingInputError(
                f"{repo.base} has no commit {repo.revision} on the hub; {pinned}, or find out whether the repository's "
                "history was rewritten."
            )
        if isinstance(error, hub_errors.RemoteEntryNotFoundError):
            return MissingInputError(
                f"{repo.base}@{repo.revision} announces a file that the hub does not have; run the same command again."
            )
        if status == _UNAUTHORIZED and known:
            return PermissionDeniedError(
                f"The hub refuses the token that was given for {repo.base}; make a new one that may read, and give it "
                f"{_HOW_TOKENS_ARE_GIVEN}."
            )
        if isinstance(error, hub_errors.RepositoryNotFoundError) or status == _UNAUTHORIZED:
            hint = (
                ""
                if known
                else f", or shows it to known accounts only: give a token {_HOW_TOKENS_ARE_GIVEN}"
            )
            return MissingInputError(
                f"The hub at {self._api.endpoint} has no {_kind(repo)} {repo.base}{hint}."
            )
        if status == _FORBIDDEN:
            return PermissionDeniedError(
                f"The hub forbids to read {repo.base}; give a token that may read it {_HOW_TOKENS_ARE_GIVEN}."
            )
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            return TransientError(
                f"The hub answered {status} for {repo.base}; what was mirrored stays: run the same command again later."
            )
        return self._no_hub(f"answered {status} for {repo.base}")

    def _gated(self, repo: Repository, known: bool) -> PermissionDeniedError:
        folder = "datasets/" if isinstance(repo, DataSet) else ""
        page = f"{self._api.endpoint}/{folder}{repo.base}"
        if known:
            return PermissionDeniedError(
                f"{repo.base} is gated and the token's account may not read it; accept its licence with it at "
                f"{page}, wait until access is granted, and let the token read gated repositories."
            )
        return PermissionDeniedError(
            f"{repo.base} is gated and no token was given; accept its licence at {page} and give a token of the same "
            f"account {_HOW_TOKENS_ARE_GIVEN}."
        )

    def _no_hub(self, what: str) -> SetupError:
        return SetupError(
            f"The endpoint {self._api.endpoint} {what}; check HF_ENDPOINT and the proxy."
        )


_HOW_TOKENS_ARE_GIVEN = "as HF_TOKEN (on a cluster: in the Secret that the site names for the hub)"


def _kind(repo: Repository) -> str:
    return "data set" if isinstance(repo, DataSet) else "model"


def verify(path: Path, file: HubFile) -> str:
    """The sha256 of `path`, whose bytes are those that the hub announces; StorageError otherwise."""
    sha256 = sha256_file(path)
    if path.stat().st_size != file.size:
        raise _differs(file, f"size {file.size:,}, got {path.stat().st_size:,}")
    wanted, got = (file.sha256, sha256) if file.sha256 else (file.blob, _git_blob(path))
    if wanted != got:
        raise _differs(file, f"hash {wanted}, got {got}")
    return sha256


def _git_blob(path: Path) -> str:
    """Git's name for the bytes of a file: SHA-1 over a header with their number and the bytes."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _differs(file: HubFile, what: str) -> StorageError:
    return StorageError(
        f"{file.name} has other bytes than the hub announces (wanted {what}) and was not stored; run the same command "
        "again, and if it repeats look for a proxy or an HF_ENDPOINT that changes files."
    )


class _Count:
    """The bytes of one download, passed on to a meter; `bar` is the class that the client makes its bar from."""

    def __init__(self, meter: log.Meter) -> None:
        self.done = 0
        outer = self

        class Bar:
            """The part of a tqdm bar that the client uses."""

            def __init__(self, **_: object) -> None:
                pass

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def update(self, n: int) -> None:
                """`n` more bytes; fewer than none when a download starts over."""
                outer.done += n
                meter.advance(n)

        self.bar: Any = Bar
