"""The three Dockerfiles as text: the same parts in the same order, hash-locked, for a user without rights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("prep", "train", "eval")


def instructions(stage: str) -> list[str]:
    """The file's instructions, continued lines joined, comments left out."""
    text = (ROOT / "images" / stage / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def parts(stage: str) -> dict[str, list[str]]:
    """Build stage → its instructions; the image itself is ''."""
    found: dict[str, list[str]] = {}
    lines = instructions(stage)
    assert lines[0].startswith("ARG PIN="), "the base comes before all"
    name = ""
    for line in lines[1:]:
        if line.startswith("FROM"):
            name = line.partition(" AS ")[2]
            found[name] = []
        found[name].append(line)
    return found


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_library_comes_from_the_stage_s_own_lock(stage):
    text = "\n".join(instructions(stage))
    assert re.findall(r"/locks/install /pip/bin/python (\w+) /venv/bin/python", text) == (
        ["prep"] if stage == "prep" else ["torch", stage]
    )
    assert not re.search(r"pip install|curl|wget|git clone", text)


def test_prep_has_neither_torch_nor_cuda():
    lock = (ROOT / "requirements" / "prep.txt").read_text(encoding="utf-8")
    assert not re.search(r"^(torch|nvidia-|cuda-|cupy|triton)", lock, flags=re.M)


def test_train_and_eval_share_the_layer_of_torch():
    assert parts("train")["torch"] == parts("eval")["torch"]
    assert parts("train")["tools"] == parts("eval")["tools"] == parts("prep")["tools"]


def test_a_shared_library_has_one_version_in_all_images():
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\", text, flags=re.M))

    developers = pins("dev")
    for name in (*STAGES, "torch"):
        shared = pins(name).items() - {("cupy-cuda13x", pins(name).get("cupy-cuda13x", ""))}
        assert {k: v for k, v in shared if k in developers and developers[k] != v} == {}


def test_all_images_stand_on_one_base_that_is_named_by_its_digest():
    pins = {line for stage in STAGES for line in instructions(stage) if line.startswith("ARG PIN=")}
    assert len(pins) == 1
    assert re.fullmatch(r"ARG PIN=@sha256:[0-9a-f]{64}", pins.pop())
    for stage in STAGES:
        first, *others = [line for line in instructions(stage) if line.startswith("FROM")]
        assert first == "FROM python:3.11-slim-bookworm${PIN} AS base"
        assert {re.split(r"\s+", line)[1] for line in others} <= {"base", *parts(stage)}


def test_the_code_is_the_last_layer(stage):
    image = parts(stage)[""]
    copies = [line for line in image if line.startswith("COPY")]
    assert copies[-1] == "COPY --from=code /app /app"
    assert not [line for line in image[image.index(copies[-1]) :] if line.startswith("RUN")]


def test_the_user_has_a_number_and_no_rights(stage):
    image = parts(stage)[""]
    assert "USER 65532:65532" in image
    assert any("-perm /6000" in line and "a-s" in line for line in image)


def test_an_init_starts_the_stage_directly(stage):
    (entry,) = [line for line in parts(stage)[""] if line.startswith("ENTRYPOINT")]
    assert entry == f'ENTRYPOINT ["tini", "--", "python", "-m", "jobs.{stage}"]'


def test_only_what_an_image_needs_is_sent_to_the_engine():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        "!fingpt",
        "!jobs",
        "!k8s/*.yaml",
        "!requirements",
    }


def test_eval_for_gpus_is_eval_but_for_its_libraries_and_a_compiler():
    text = (ROOT / "images" / "eval" / "gpu.Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"/locks/install /pip/bin/python (\S+) /venv/bin/python", text) == [
        "eval-gpu"
    ]
    assert not re.search(r"pip install|curl|wget|git clone", text)
    plain = (ROOT / "images" / "eval" / "Dockerfile").read_text(encoding="utf-8")
    same = r"(?s)(ARG PIN=.*?)\n\n|(# The project's code.*?)\nFROM base\n|(ENV PATH.*?)ARG VERSION"
    ours, its = (["".join(found) for found in re.findall(same, one)] for one in (text, plain))
    assert ours == its
    assert len(ours) == 3
    lock = (ROOT / "requirements" / "eval-gpu.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\", lock, flags=re.M))
    assert pins["vllm"] == "0.33.0"
    assert {"torch", "transformers", "peft", "evaluate", "boto3", "pydantic"} <= set(pins)
    assert len(re.findall("^[a-z]", lock, flags=re.M)) == len(pins)
    assert lock.count("--hash=sha256:") >= len(pins)
