"""Write what is in the built images as CycloneDX, and hold their licences against the policy: `python -m images.sbom`.

Each image gets build/sbom/<image>.cdx.json and a table of licences, build/sbom/<image>.licences.md. A licence that the
policy does not allow ends the command with 65 after all files are written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated
from uuid import NAMESPACE_OID, uuid5

import typer
from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.spdx import is_supported_id
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.version import InvalidVersion, Version

from fingpt import log
from fingpt.errors import DataError, SetupError
from fingpt.runs.stage import guarded
from images.contents import Image, Package, read_image
from images.licences import is_expression, judge, licence_table, spdx
from images.policy import Policy, read_policy

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "sbom"

# Which locks an image's libraries come from beside its own; cuda.txt counts where torch asks for CUDA.
LOCKS = {"prep": (), "train": ("torch", "cuda"), "eval": ("torch", "cuda"), "eval-gpu": ()}

Hashes = Mapping[tuple[str, str], tuple[str, ...]]


def main(
    images: Annotated[
        list[str] | None, typer.Argument(help="images; default: this checkout's")
    ] = None,
) -> None:
    """Write the SBOM and the licences of each image; 65 where a licence or a library may not be there."""
    log.setup()

    def action() -> None:
        policy = read_policy(ROOT / "images" / "policy.toml")
        faults = [
            fault for name in images or built_images() for fault in write(read_image(name), policy)
        ]
        if faults:
            raise DataError(
                f"Against images/policy.toml or the locks: {'; '.join(faults)}. Leave the package out, lock it, or "
                "allow its licence there with the reason."
            )

    sys.exit(guarded(action))


def write(image: Image, policy: Policy) -> list[str]:
    """Write an image's files, print what they are, and return what may not be in it. DataError for another's image."""
    stage = image.labels.get("org.opencontainers.image.title", "").removeprefix("fingpt-")
    if stage not in LOCKS:
        raise DataError(
            f"{image.name} is no image of prep, train or eval: its label title says '{stage}'."
        )
    own, *others = (ROOT / "requirements" / f"{lock}.txt" for lock in (stage, *LOCKS[stage]))
    if image.labels.get("fingpt-jobs.lock-sha256") != sha256(own.read_bytes()).hexdigest():
        raise DataError(
            f"{image.name} was built from another requirements/{own.name}: build this checkout's, make images."
        )
    hashes = locked_hashes(path.read_text("utf-8") for path in (own, *others))
    refused = judge(image.packages, policy.allowed, policy.exceptions)
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / f"fingpt-{stage}.cdx.json"
    target.write_text(as_cyclonedx(image, hashes), "utf-8")
    (FOLDER / f"fingpt-{stage}.licences.md").write_text(
        licence_table(image, policy, refused), "utf-8"
    )
    typer.echo(log.printable(f"{image.name}: {image.summary}, {target.relative_to(ROOT)}"))
    return [
        *(f"{finding} in {stage}" for finding in refused),
        *(
            f"{package.name} {package.version} in {stage} comes from no lock"
            for package in unlocked(image, hashes)
        ),
    ]


def unlocked(image: Image, hashes: Hashes) -> list[Package]:
    """What pip installed although no lock names it; copies that a distribution carries within itself are left out."""
    installed = re.compile(r"venv/lib/python3\.\d+/site-packages/[^/]+\.(dist|egg)-info/\S+")
    return [
        package
        for package in image.packages
        if any(installed.fullmatch(place) for place in package.places)
        and (package.name, public_version(package.version)) not in hashes
    ]


def built_images() -> list[str]:
    """The names of this checkout's images; SetupError where images/build cannot say."""
    said = subprocess.run([ROOT / "images" / "build", "names"], capture_output=True, text=True)
    if said.returncode:
        raise SetupError(said.stderr.strip())
    return said.stdout.split()


def locked_hashes(locks: Iterable[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(name, version) → the SHA-256 of every file that the locks let pip install for it."""
    entry = re.compile(
        r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)[^\n]*\n((?:    --hash=\S+[^\n]*\n)+)", re.M
    )
    return {
        (name, version): tuple(re.findall(r"sha256:([0-9a-f]{64})", hashes))
        for text in locks
        for name, version, hashes in entry.findall(text)
    }


def as_cyclonedx(image: Image, hashes: Hashes) -> str:
    """CycloneDX 1.6 as JSON, valid against its schema."""
    repository, _, tag = image.name.rpartition(":")
    itself = Component(
        type=ComponentType.CONTAINER,
        name=repository,
        version=tag,
        bom_ref=image.image_id,
        licenses=_licenses((image.labels.get("org.opencontainers.image.licenses", ""),)),
        properties=[
            Property(name="fingpt-jobs:image-id", value=image.image_id),
            *(Property(name="fingpt-jobs:digest", value=digest) for digest in image.digests),
            *(
                Property(name=f"fingpt-jobs:label:{name}", value=value)
                for name, value in sorted(image.labels.items())
            ),
        ],
    )
    components = [_component(package, hashes) for package in image.packages]
    # The same image gives the same bytes: neither a clock nor chance takes part.
    bom = Bom(components=components, serial_number=uuid5(NAMESPACE_OID, image.image_id))
    bom.metadata.component = itself
    bom.metadata.timestamp = image.created
    bom.register_dependency(itself, components)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise AssertionError(f"the SBOM of {image.name} does not fit its schema: {fault}")
    return text


def purl(package: Package) -> PackageURL:
    """The package's URL; for Debian with release, architecture and, as `upstream`, source package and its version."""
    if package.kind != "deb":
        return PackageURL(package.kind, None, package.name, package.version)
    qualifiers = {
        "arch": package.architecture,
        "distro": package.release,
        "upstream": f"{package.source}@{package.source_version}",
    }
    return PackageURL(
        "deb", package.release.partition("-")[0], package.name, package.version, qualifiers
    )


def _component(package: Package, hashes: Hashes) -> Component:
    url = purl(package)
    locked = (
        hashes.get((package.name, public_version(package.version)), ())
        if package.kind == "pypi"
        else ()
    )
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(url.to_string()),
        comment="One of these files: the lock lets pip install no other.",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in locked],
    )
    return Component(
        type=ComponentType.APPLICATION if package.kind == "generic" else ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=url.to_string(),
        purl=url,
        licenses=_licenses(package.licences),
        external_references=[files] if locked else [],
        properties=[Property(name="fingpt-jobs:found-in", value=place) for place in package.places],
    )


def public_version(version: str) -> str:
    """The version without its local part, under which locks and advisories know it: 2.13.0 for 2.13.0+cpu."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def _licenses(statements: Iterable[str]) -> list[License]:
    """An expression where there is one statement and it is one, else identifiers and names."""
    said = [text for each in statements if (text := spdx(each))]
    if len(said) == 1 and not is_supported_id(said[0]) and is_expression(said[0]):
        return [LicenseExpression(said[0])]
    return [
        DisjunctiveLicense(id=text) if is_supported_id(text) else DisjunctiveLicense(name=text)
        for text in said
    ]


if __name__ == "__main__":
    typer.run(main)
