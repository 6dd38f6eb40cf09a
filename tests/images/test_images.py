"""Built images, named by FINGPT_E2E_PREP, …_TRAIN, …_EVAL and …_EVAL_GPU, in containers with no rights at all."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest
from packaging.utils import canonicalize_name

from images.contents import read_image

pytestmark = [pytest.mark.e2e, pytest.mark.core]

FLAVOURS = ("prep", "train", "eval", "eval-gpu")
SETTINGS = ("--rm", "--read-only", "--cap-drop", "ALL", "--network", "none")


@pytest.fixture(params=FLAVOURS)
def image(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A flavour of a stage and its image."""
    variable = f"FINGPT_E2E_{request.param.upper().replace('-', '_')}"
    named = os.environ.get(variable)
    if not named or docker("image", "inspect", named).returncode:
        pytest.skip(f"{variable} names no image that Docker has here.")
    return request.param, named


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=300)


def output(image: str, *words: str, settings: tuple[str, ...] = SETTINGS) -> str:
    """What `words` print in a container of the image."""
    program, *rest = words
    done = docker("run", *settings, "--entrypoint", program, image, *rest)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_starts_without_network_rights_or_a_place_to_write(image):
    stage, name = image[0].removesuffix("-gpu"), image[1]
    done = docker("run", *SETTINGS, name, "--help")
    assert (done.returncode, f"python -m jobs.{stage} --run" in done.stderr) == (0, True)
    done = docker("run", *SETTINGS, name, "--runs", "x")
    assert done.returncode == 64


def test_everything_that_its_stage_imports_is_there(image):
    stage, name = image[0].removesuffix("-gpu"), image[1]
    load = f"from jobs.{stage} import load_body; print(load_body().__module__)"
    with_tmp = (*SETTINGS, "--tmpfs", "/tmp")  # as its pods have it
    assert output(name, "python", "-c", load, settings=with_tmp).strip() == f"fingpt.{stage}.stage"


def test_prep_can_drive_mirror_and_examine(image):
    stage, name = image
    if stage != "prep":
        pytest.skip("prep's image alone does this.")
    for module in ("drive", "mirror", "doctor"):
        assert "Usage" in output(name, "python", "-m", f"jobs.{module}", "--help")
    manifests = "from fingpt.cluster.job import load_template as t; print(t('train')['kind'])"
    assert output(name, "python", "-c", manifests).strip() == "Job"
    torch = "import importlib.util as u; print(u.find_spec('torch'))"
    assert output(name, "python", "-c", torch).strip() == "None"


def test_no_file_gives_rights_and_no_tool_is_left_over(image):
    flavour, name = image
    as_root = ("--rm", "--user", "0", "--network", "none")
    found = output(name, "sh", "-c", "find / -xdev -perm /6000 -type f", settings=as_root)
    assert found == ""
    tools = "for tool in gcc cc g++ make git curl wget; do command -v $tool; done; true"
    # Triton compiles where it runs.
    wanted = "/usr/bin/gcc\n/usr/bin/cc\n" if flavour == "eval-gpu" else ""
    assert output(name, "sh", "-c", tools) == wanted
    caches = "ls -A /var/lib/apt/lists ~/.cache /cache /locks 2>/dev/null | grep -v ':$' ; true"
    assert output(name, "sh", "-c", caches, settings=as_root).strip() == ""
    assert output(name, "sh", "-c", "ls /venv/bin | grep ^pip; true") == ""


def test_the_user_may_change_nothing(image):
    _, name = image
    own = (
        "find / -xdev ( -user 65532 -o -perm -0002 ) ! -type l ! -path '/tmp*' ! -path '/var/tmp*'"
    )
    own = own.replace("(", r"\(").replace(")", r"\)")
    left_out = " ! -path '/proc*' ! -path '/dev*' ! -path '/sys*' ! -path '/run/lock*' ! -path '/var/lock*'"
    writable = ("--rm", "--user", "0", "--network", "none")
    assert output(name, "sh", "-c", own + left_out, settings=writable) == ""
    assert output(name, "id", "-u").strip() == "65532"


def test_labels_say_what_is_in_it(image):
    flavour, name = image
    said = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", name).stdout)
    labels = said["Labels"]
    assert labels["org.opencontainers.image.title"] == f"fingpt-{flavour}"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    assert labels["org.opencontainers.image.revision"]
    assert labels["org.opencontainers.image.base.name"].startswith("python:3.11-slim-bookworm")
    assert re.fullmatch(r"[0-9a-f]{64}", labels["fingpt-jobs.lock-sha256"])
    assert (said["User"], said["StopSignal"]) == ("65532:65532", "SIGTERM")


def test_the_list_of_what_is_in_it_is_what_its_own_tools_list(image):
    _, name = image
    listed = {(each.kind, each.name, each.version) for each in read_image(name).packages}
    query = "dpkg-query -W -f '${Package}=${Version}\\n'; sed -n 's/^Version: /tini=/p' /var/lib/dpkg/status.d/tini"
    debian = {("deb", *line.split("=", 1)) for line in output(name, "sh", "-c", query).split()}
    code = "import importlib.metadata as m, sysconfig; found = m.distributions(path=[sysconfig.get_path('purelib')]); "
    code += "print(*(f'{each.name}={each.version}' for each in found))"
    lines = output(name, "/venv/bin/python", "-c", code).split()
    python = {("pypi", canonicalize_name(line.split("=")[0]), line.split("=")[1]) for line in lines}
    assert len(debian) > 50
    assert len(python) > 50
    assert {each for each in listed if each[0] == "deb"} == debian
    assert python - listed == set()
    carried = {
        each for each in listed - python if each[0] == "pypi"
    }  # within other distributions, or the base's own pip
    assert len(carried) < 20


def test_a_changed_line_of_code_moves_megabytes(image):
    _, name = image
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}\t{{.Size}}", name).stdout
    code = next(line for line in history.splitlines() if line.startswith("COPY /app"))
    size, unit = re.fullmatch(r"([\d.]+)(kB|MB|GB)", code.rpartition("\t")[2]).groups()
    assert float(size) * {"kB": 1e-3, "MB": 1.0, "GB": 1e3}[unit] < 10


def test_vllm_and_what_compiles_its_kernels_work_in_the_image_for_gpus(image):
    flavour, name = image
    if flavour != "eval-gpu":
        pytest.skip("the image for GPUs alone has these.")
    with_tmp = (*SETTINGS, "--tmpfs", "/tmp")  # as its pods have it
    load = "from vllm import LLM; from fingpt.eval import engine_vllm; print('there')"
    assert output(name, "python", "-c", load, settings=with_tmp).splitlines()[-1] == "there"
    library = "echo 'int one(void) { return 1; }' | gcc -include stdio.h -shared -fPIC -o /tmp/one.so -x c -"
    called = "python -c \"import ctypes; print(ctypes.CDLL('/tmp/one.so').one())\""
    settings = (*SETTINGS, "--tmpfs", "/tmp:exec")
    assert output(name, "sh", "-c", f"{library} && {called}", settings=settings) == "1\n"


def test_train_and_eval_share_the_layers_up_to_torch():
    layers = []
    for stage in ("train", "eval"):
        named = os.environ.get(f"FINGPT_E2E_{stage.upper()}") or "none"
        said = docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", named)
        if said.returncode:
            pytest.skip(f"FINGPT_E2E_{stage.upper()} names no image that Docker has here.")
        steps = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", named).stdout
        after, _, _ = steps.partition("COPY /venv /venv")  # the newest step comes first
        made = re.findall("^(?:COPY|RUN|WORKDIR)", after, re.MULTILINE)
        layers.append(json.loads(said.stdout)[: -len(made)])
    train, evaluation = layers
    assert train == evaluation
    assert len(train) > 3  # the base's own, and ours
