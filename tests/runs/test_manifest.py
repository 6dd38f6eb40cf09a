"""Manifests are sealed: any changed byte is seen."""

import pytest

from fingpt.errors import StorageError
from fingpt.record import FileRef
from fingpt.runs.manifest import BaseManifest, Commit, decode, encode

MANIFEST = BaseManifest(
    base="owner/name", revision="v1", files=(FileRef(name="a.json", size=3, sha256="00"),)
)


def test_a_sealed_manifest_reads_back():
    assert decode(BaseManifest, encode(MANIFEST), "key") == MANIFEST


def test_every_flipped_byte_is_found():
    data = encode(MANIFEST)
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(StorageError, match="models/key"):
            decode(BaseManifest, flipped, "models/key")


def test_a_manifest_of_another_kind_is_refused():
    with pytest.raises(StorageError, match="Commit"):
        decode(Commit, encode(MANIFEST), "key")


def test_the_identity_of_weights_covers_names_and_bytes():
    renamed = MANIFEST.model_copy(update={"files": (FileRef(name="b.json", size=3, sha256="00"),)})
    assert renamed.sha256 != MANIFEST.sha256
