"""The house rules that a machine can check: sizes, names, layers, imports, configurations, documents, paths."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from fingpt import errors
from fingpt.config import load_config

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted([*ROOT.glob("fingpt/**/*.py"), *ROOT.glob("jobs/**/*.py")])
CONFIGS = sorted(ROOT.glob("jobs/configs/*.yaml"))
STAGES = {"prep", "train", "eval", "report", "cluster"}

# Decoder layers that training computes with and evaluation reads with: a room of its own inside train, but for its
# module `choice`, which is what training makes of a machine.
LAYERS_OF_LLAMA = "train.fast"

# A room may import what stands in a line above its own, nothing beside it.
LAYERS = (
    {"errors", "streams"},
    {"record", "log", "reading", "cores"},
    {"models", "leaks", "overrides"},
    {"conflicts"},
    {"train_config"},
    {"config"},
    {"hardware"},
    {"metrics", "parquet", LAYERS_OF_LLAMA},
    {"storage", "prompts"},
    {"rows"},
    {"sources"},
    {"features", "runs"},
    {"weights"},
    {*STAGES, "synthetic"},
    {"built", "forecast", "sweeps"},
    {"ledger"},
    {"doctor"},
    {"jobs"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

# Folders that hold no text of ours.
SKIPPED = {"store", "build", "dist", "node_modules", "__pycache__"}

# Templates are applied for training and generation; prep shows what the models will see, sweeps count its tokens.
CHAT_USERS = {"prep", "train", "eval", "forecast", "sweeps", "synthetic"}

# Rooms beside the stages that need a stage's libraries once they are called.
EXTRAS_OF = {
    "hardware": ("train",),
    LAYERS_OF_LLAMA: ("train",),
    "metrics": ("report",),
    "parquet": ("prep",),
    "prompts": ("train",),
    "built": ("prep", "sources"),
    "features": ("sources",),
    "forecast": ("eval", "sources"),
    "ledger": ("report", "sources"),
    "rows": ("prep",),
    "sources": ("sources", "yahoo"),
    "sweeps": ("sweeps", "report"),
    "synthetic": ("train", "prep"),
    "weights": ("prep",),
}

# 1 and 0 are everybody's; what is left belongs to one class of fingpt/errors.py each.
EXIT_CODES = {
    kind.exit_code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.FingptError)
} - {1}

# Where the kubernetes library is known: how it is configured, how it is called, its reading of quantities.
CLIENT_MODULES = {
    f"fingpt/cluster/api/{name}.py" for name in ("kubeconfig", "transport", "objects")
}

# A laptop that submits, watches and collects has none of these.
HEAVY = (
    "torch transformers tokenizers peft accelerate deepspeed datasets evaluate pyarrow pandas numpy "
    "scipy sklearn statsmodels altair vl_convert boto3 botocore obstore kubernetes"
).split()
LIGHT = (
    "fingpt.errors fingpt.record fingpt.log fingpt.models fingpt.prompts.examples fingpt.config fingpt.prompts.chat "
    "fingpt.runs.manifest fingpt.runs.run fingpt.runs.stage fingpt.runs.local fingpt.runs.freeze "
    "jobs.submit jobs.sweep jobs.drive jobs.prep jobs.train jobs.eval jobs.status jobs.logs jobs.cancel "
    "fingpt.cluster.api.protocol jobs.list jobs.verify jobs.doctor jobs.prune jobs.collect jobs.compare "
    "fingpt.runs.collect"
).split()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree(path)))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def area(dotted: str) -> str:
    """`fingpt.prep.lint` -> prep, `fingpt.log` -> log, `jobs.submit` -> jobs, `fingpt` -> ''."""
    layers = f"fingpt.{LAYERS_OF_LLAMA}."
    if f"{dotted}.".startswith(layers) and not f"{dotted}.".startswith(f"{layers}choice."):
        return LAYERS_OF_LLAMA
    package, _, rest = dotted.partition(".")
    return package if package == "jobs" else rest.partition(".")[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of every module that `path` imports, anywhere in it."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno} imports relatively"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_areas(path: Path) -> set[str]:
    ours = [name for name in imports(path) if name.startswith(("fingpt.", "jobs"))]
    return {area(name) for name in ours}


def own_area(path: Path) -> str:
    return area(".".join(path.relative_to(ROOT).with_suffix("").parts))


@cache
def texts() -> dict[Path, str]:
    """Every file that a person writes and reads here, with its text."""
    kinds = {"", *".py .md .toml .txt .in .yaml .yml .json .jinja .html .css".split()}
    files = {}
    for folder, below, names in os.walk(ROOT):
        below[:] = [
            name for name in below if name not in SKIPPED and (name == ".ci" or name[0] != ".")
        ]
        paths = [Path(folder, name) for name in names]
        files.update(
            {
                path: path.read_text("utf-8")
                for path in paths
                if path.suffix in kinds and path.name[0] != "."
            }
        )
    return {path: text for path, text in files.items() if path != Path(__file__)}


def found(pattern: str) -> list[str]:
    """`file:line` of every match of `pattern` in the project's texts."""
    expression = re.compile(pattern)
    return [
        f"{relative(path)}:{number}: {line.strip()[:100]}"
        for path, text in texts().items()
        if expression.search(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if expression.search(line)
    ]


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES
    }
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_no_function_is_longer_than_60_lines_or_takes_more_than_6_parameters() -> None:
    faults = []
    for path in MODULES:
        for node in nodes(path):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if any("triton.jit" in ast.unparse(each) for each in node.decorator_list):
                continue  # a kernel gets each pointer, stride and size apart
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            parameters = [one.arg for one in every if one.arg not in ("self", "cls")]
            if lines > 60 or len(parameters) > 6:
                faults.append(
                    f"{relative(path)}:{node.lineno} {node.name}: {lines} lines, {len(parameters)} parameters"
                )
    assert faults == []


def test_no_module_is_named_after_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "common", "misc", "lib", "tools"}
    assert [relative(path) for path in MODULES if empty & {path.stem, path.parent.name}] == []


def test_every_module_says_what_it_does() -> None:
    silent = [
        relative(path)
        for path in MODULES
        if path.stat().st_size and not ast.get_docstring(tree(path))
    ]
    assert silent == []


def test_every_room_has_a_layer() -> None:
    assert {own_area(path) for path in MODULES} - set(RANK) - {"", "__init__"} == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_lower_rooms_only(path: Path) -> None:
    own = own_area(path)
    others = imported_areas(path) - {own}
    assert {name for name in others if RANK[name] >= RANK.get(own, 0)} == set()


def test_chat_templates_are_applied_where_models_are_fed_only() -> None:
    users = {own_area(path) for path in MODULES if "fingpt.prompts.chat" in imports(path)}
    assert users - {"prompts"} <= CHAT_USERS


def test_only_the_s3_modules_import_boto3_and_obstore_and_only_the_cluster_client_imports_kubernetes() -> (
    None
):
    def importers(*libraries: str) -> list[str]:
        return [
            relative(path)
            for path in MODULES
            if any(name.split(".")[0] in libraries for name in imports(path))
        ]

    assert [
        name
        for name in importers("boto3", "botocore", "obstore")
        if not name.startswith("fingpt/storage/s3")
    ] == []
    assert [name for name in importers("kubernetes") if name not in CLIENT_MODULES] == []


def test_an_extra_names_every_library_that_its_modules_import() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]

    def names(requirements: list[str]) -> set[str]:
        own = [re.match(r"fingpt-jobs\[(.+)\]", text) for text in requirements]
        nested = [line for match in own if match for line in extras[match[1]]]
        return {re.split(r"[^a-z0-9.-]", text.lower())[0] for text in [*requirements, *nested]}

    distributions = packages_distributions()
    faults = []
    for path in MODULES:
        own = own_area(path)
        own_extras = [extras.get(name, []) for name in EXTRAS_OF.get(own, (own,))]
        allowed = names(
            [*project["dependencies"], *(line for lines in own_extras for line in lines)]
        )
        for top in (
            {name.split(".")[0] for name in imports(path)}
            - sys.stdlib_module_names
            - {"fingpt", "jobs", "mypy_boto3_s3"}  # the last for the type checker alone
            - {
                "triton",
                "cudnn",
            }  # torch's CUDA builds bring the one; the other is tried, and done without
        ):
            owners = {re.sub(r"[_.]", "-", one.lower()) for one in distributions.get(top, [top])}
            faults += [] if owners & allowed else [f"{relative(path)} imports {top}"]
    assert sorted(faults) == []


def test_the_environment_is_read_in_one_place() -> None:
    allowed = {
        "fingpt/config.py",
        "fingpt/eval/caches.py",  # compilers take their folders from there alone
        "fingpt/eval/engine_vllm.py",  # as vLLM takes some settings
        "fingpt/train/worker.py",  # RANK is how torchrun tells a process which one it is
    }
    readers = {
        relative(path)
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "putenv"}
    }
    assert readers - allowed == set()


def test_only_the_stage_frame_catches_everything() -> None:
    catchers = {
        relative(path)
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
        )
    }
    assert catchers - {"fingpt/runs/stage.py"} == set()


def literal_exit_codes(node: ast.AST) -> list[ast.expr]:
    """Exit codes that `node` writes as numbers: returned, listed, or beside a name that speaks of codes or exits."""
    children = node.keys if isinstance(node, ast.Dict) else ast.iter_child_nodes(node)
    codes = [
        each for each in children if isinstance(each, ast.Constant) and each.value in EXIT_CODES
    ]
    if not codes:
        return []
    if isinstance(node, ast.Return | ast.Dict):
        return [*codes]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return [*codes] if len(codes) > 1 else []
    named = ast.Compare | ast.Call | ast.keyword | ast.Assign | ast.AnnAssign
    about = isinstance(node, named) and re.search(r"(?<!en)(?<!de)code\b|exit", ast.unparse(node))
    return [*codes] if about else []


def test_an_exit_code_is_written_as_a_number_in_the_error_tree_alone() -> None:
    bare = [
        f"{relative(path)}:{each.lineno}: {ast.unparse(each)}"
        for path in MODULES
        if path != ROOT / "fingpt/errors.py"
        for node in nodes(path)
        for each in literal_exit_codes(node)
    ]
    assert bare == []


def test_submitting_and_collecting_loads_no_heavy_library() -> None:
    code = f"import sys; import {', '.join(LIGHT)}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_loads(path: Path) -> None:
    load_config(path)


def test_relative_links_in_documents_resolve() -> None:
    broken = [
        f"{relative(path)}: {target}"
        for path, text in texts().items()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_s_tree_names_every_room_and_every_entry_point() -> None:
    tree = (ROOT / "README.md").read_text("utf-8").split("## The tree", 1)[1].split("```")[1]
    named = set(re.findall(r"[\w./-]+", tree))
    rooms = {f"{path.parent.name}/" for path in ROOT.glob("fingpt/*/__init__.py")}
    rooms |= {f"{path.parent.name}/" for path in ROOT.glob("fingpt/cluster/*/__init__.py")}
    top = {path.name for path in [*ROOT.glob("fingpt/*.py"), *ROOT.glob("jobs/*.py")]}
    assert (rooms | top) - {"__init__.py"} - named == set()
    files = {word for word in named if word.endswith(".py")}
    assert files - top == set(), "the tree names files that are not there"


def make_targets() -> dict[str, bool]:
    """Every target that a person may call, and whether `make` explains it."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r"^([a-z][a-z0-9-]*):([^=].*)?$", text, flags=re.MULTILINE)
    return {name: "##" in rest for name, rest in lines}


def test_every_make_target_is_explained() -> None:
    assert [name for name, explained in make_targets().items() if not explained] == []
    help_text = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [name for name in make_targets() if not re.search(rf"\b{name}\b", help_text)] == []


def test_every_make_command_that_we_name_exists() -> None:
    command = re.compile(
        r"(?:`|['\x22:] ?(?=make \S+ [A-Z]+=)|^ *\$? *)make ([a-z][a-z0-9-]*)\b", flags=re.M
    )
    named = {
        target
        for path, text in texts().items()
        if path.suffix in {".py", ".md"} and path != Path(__file__)
        for target in command.findall(text)
    }
    assert named - set(make_targets()) == set()


def test_ci_calls_make_targets_that_exist() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    called = re.findall(r"^ *part .* make ([a-z0-9-]+)", text, flags=re.M)
    assert len(called) > 10
    assert set(called) - set(make_targets()) == set()


def test_the_makefile_stays_short() -> None:
    assert len((ROOT / "Makefile").read_text(encoding="utf-8").splitlines()) <= 280


PARTS = ("core", "part1", "part2", "part3", "part4", "part5")


def test_every_end_to_end_test_belongs_to_exactly_one_part(
    marks: dict[str, frozenset[str]],
) -> None:
    """By the marks that this session has collected, where it looked at all such tests; else it takes seconds."""
    files = [
        f"tests/{f}/{p.name}" for f in ("e2e", "images") for p in ROOT.glob(f"tests/{f}/test_*.py")
    ]
    if set(files) <= {name.partition("::")[0] for name in marks}:
        ours = {name: its for name, its in marks.items() if "e2e" in its}
        assert {name: its for name, its in ours.items() if len(its & {*PARTS}) != 1} == {}
        assert len(ours) > len(PARTS)
        return
    one = [f"({each} and not ({' or '.join({*PARTS} - {each})}))" for each in PARTS]
    words = ["--collect-only", "-q", "-m", f"e2e and not ({' or '.join(one)})"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "tests/e2e", "tests/images"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert re.search(r"^no tests collected \(\d+ deselected\)", done.stdout, re.M), done.stdout


def test_no_path_of_one_machine_stands_in_the_project() -> None:
    assert found(r"(^|[^A-Za-z0-9_.])/(work|farm|opt|home|root|Users)/") == []


def test_no_package_registry_is_named() -> None:
    assert found(r"pypi\.org|pythonhosted|download\.pytorch|--(extra-)?index-url") == []


def test_only_the_ci_script_knows_what_lies_beside_the_checkout() -> None:
    assert [hit for hit in found(r"\.\./shared") if not hit.startswith(".ci/run:")] == []
