"""The house of the code: which room may import which, and what no file may hold. Read from the source with `ast`.

`faults(root)` lists every breach in a tree; the real one has none, and each rule is seen to fail on a made-up tree.
"""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
FLOORS = (
    ("types", "errors", "plugin", "files", "journal"),
    ("ops", "text", "metrics", "processes", "preemption", "telemetry", "trackers", "batching", "llm"),
    ("models", "sharding", "reporting"),
    ("sampling", "scoring", "microbatches", "algorithms", "objectives", "moments", "quantization"),
    ("programs", "data", "rewards", "benchmarks", "checkpoint", "hf", "peft", "offline"),
    ("stages", "builder", "planning"),
    ("main", "chat", "build", "convert", "report", "plan", "bench", "growth", "sweep"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
NEIGHBOURS = {  # (importer, imported) on one floor, allowed
    ("files", "errors"),
    ("plugin", "errors"),
    ("journal", "errors"),
    ("telemetry", "processes"),
    ("telemetry", "trackers"),
    ("benchmarks", "data"),
    ("models", "sharding"),
    ("hf", "programs"),
    ("peft", "hf"),
    ("checkpoint", "programs"),
    ("offline", "programs"),
    ("builder", "stages"),
    ("planning", "stages"),
    ("build", "main"),
    ("bench", "main"),
    ("growth", "bench"),
    ("growth", "main"),
    ("plan", "main"),
}
OPS_MAY_IMPORT = {"jax", "numpy", "rule_jax.ops", "rule_jax.types", *sys.stdlib_module_names}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
FORBIDDEN_KEYWORDS = {"trust_remote_code", "allow_pickle"}
MACHINE_PATH = re.compile(r"(?<![\w./~-])/(?:home|work|root|Users|mnt|tmp|opt|srv|scratch)/\w")
MAX_FILE, MAX_FUNCTION = 400, 80


def faults(root: Path) -> list[str]:
    """Every breach of the rules in the Python files of a repository, as "file:line: what"."""
    found = []
    for file in sorted(f for folder in ("rule_jax", "configs", "launch") for f in (root / folder).rglob("*.py")):
        where, text = file.relative_to(root), file.read_text(encoding="utf-8")
        tree = ast.parse(text)
        for line, fault in [
            *_general(where, tree, text),
            *(_floors(where, tree) if where.parts[0] == "rule_jax" else []),
        ]:
            found.append(f"{where}:{line}: {fault}")
    return found


def _general(where: Path, tree: ast.Module, text: str) -> Iterator[tuple[int, str]]:
    """What holds for every file, whatever its room."""
    lines = text.splitlines()
    if len(lines) > MAX_FILE:
        yield len(lines), f"{len(lines)} lines, more than {MAX_FILE}"
    for number, line in enumerate(lines, start=1):
        if MACHINE_PATH.search(line):
            yield number, "a path of one machine"
    for node in ast.walk(tree):
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if is_function and where.parts[0] != "configs" and _own_lines(node) > MAX_FUNCTION:  # a config is one long list
            yield node.lineno, f"{node.name} has {_own_lines(node)} lines of its own, more than {MAX_FUNCTION}"
        if isinstance(node, ast.keyword) and node.arg in FORBIDDEN_KEYWORDS and not _is_false(node.value):
            yield node.value.lineno, f"{node.arg} is not False"
        if _names_jit(node) and where != Path("rule_jax/programs.py"):
            yield getattr(node, "lineno", 0), "jit outside programs.py"
    for line, name in _imports(tree, where):
        top = name.partition(".")[0]
        if top in ("torch", "tensorflow"):
            yield line, f"imports {top}"
        if top in PICKLES:
            yield line, f"imports {top}, which runs code from files"


def _floors(where: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Imports go downward, or stay in the room."""
    room = _room(where)
    if room and room not in FLOOR:
        yield 1, f"room {room} has no floor; give it one in tests/test_architecture.py"
        return
    own = FLOOR.get(room, 0)
    for line, name in _imports(tree, where):
        parts = name.split(".")
        if parts[0] == "rule_jax":
            other = parts[1] if len(parts) > 1 else ""
            if other and other != room and FLOOR.get(other, len(FLOORS)) >= own and (room, other) not in NEIGHBOURS:
                yield line, f"{room} (floor {own}) imports {other} (floor {FLOOR.get(other, 'unknown')})"
        elif parts[0] in JAX and (room in ("text", "metrics", "reporting") or own == 0):
            yield line, f"{room or 'the package'} imports {parts[0]}"
        if room == "ops" and not {parts[0], ".".join(parts[:2])} & OPS_MAY_IMPORT:
            yield line, f"ops imports {name}"
        if name == "importlib.import_module" and room != "plugin":
            yield line, "import_module outside plugin.py"


def _room(where: Path) -> str:
    """rule_jax/data/world.py -> data, rule_jax/hf.py -> hf, rule_jax/__init__.py -> the empty text."""
    name = where.parts[1] if len(where.parts) > 2 else where.stem
    return "" if name == "__init__" else name


def _imports(tree: ast.Module, where: Path) -> Iterator[tuple[int, str]]:
    """(line, full dotted name) of all imports, those in functions and those by plugin.load and plugin.names included.

    `from a.b import c` counts as a.b.c: whether c is a module or a name, its room is the same.
    """
    package = where.with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module or "") if part)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            called = (node.func.value.id, node.func.attr)
            if called == ("importlib", "import_module"):
                yield node.lineno, "importlib.import_module"
            if (
                called in (("plugin", "load"), ("plugin", "names"))
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield node.lineno, f"rule_jax.{node.args[0].value}"


def _names_jit(node: ast.AST) -> bool:
    banned = ("jit", "pjit", "pmap")
    if isinstance(node, ast.ImportFrom):
        return any(alias.name in banned for alias in node.names)
    return isinstance(node, ast.Attribute) and node.attr in banned


def _own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without those of the functions inside it, which are counted apart."""
    lines = set(range(function.lineno, (function.end_lineno or function.lineno) + 1))
    for node in ast.walk(function):
        if node is not function and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_the_house_is_in_order():
    assert faults(REPOSITORY) == []


def test_every_floor_is_inhabited_and_read():
    rooms = {_room(f.relative_to(REPOSITORY)) for f in (REPOSITORY / "rule_jax").rglob("*.py")} - {""}
    assert {FLOOR[room] for room in rooms} == set(range(len(FLOORS)))


def test_no_two_test_files_share_a_name():
    """Outside a package, pytest imports a test file by its bare name and refuses the second of two."""
    files = [f.name for f in (REPOSITORY / "tests").rglob("test_*.py") if not (f.parent / "__init__.py").exists()]
    assert [name for name, times in Counter(files).items() if times > 1] == []


BREACHES = {
    "upward": ("rule_jax/ops/a.py", "from rule_jax.models import decoder", "ops (floor 1) imports models (floor 2)"),
    "in a function": ("rule_jax/data/a.py", "def f():\n    import rule_jax.stages.export", "imports stages (floor 5)"),
    "relative": ("rule_jax/models/families/a.py", "from ... import hf", "models (floor 2) imports hf (floor 4)"),
    "relative beside": ("rule_jax/models/a.py", "from ..hf import load", "models (floor 2) imports hf (floor 4)"),
    "sideways": ("rule_jax/rewards/a.py", "from rule_jax.data import rwku", "rewards (floor 4) imports data (floor 4)"),
    "against the exception": ("rule_jax/data/a.py", "from rule_jax import benchmarks", "imports benchmarks (floor 4)"),
    "by a plugin": ("rule_jax/hf.py", "from rule_jax import plugin\nplugin.load('stages', x)", "imports stages"),
    "round the plugin": ("rule_jax/data/a.py", "import importlib\nimportlib.import_module(x)", "import_module"),
    "the package itself": ("rule_jax/__init__.py", "from rule_jax import hf", "imports hf (floor 4)"),
    "a room that does not exist": ("rule_jax/main.py", "from rule_jax import attic", "imports attic (floor unknown)"),
    "a room without a floor": ("rule_jax/attic/a.py", "x = 1", "room attic has no floor"),
    "text on jax": ("rule_jax/text/a.py", "def f():\n    import jax.numpy as jnp", "text imports jax"),
    "metrics on jax": ("rule_jax/metrics/a.py", "import jax", "metrics imports jax"),
    "types on jax": ("rule_jax/types.py", "import jax", "types imports jax"),
    "ops on a library": ("rule_jax/ops/a.py", "import optax", "ops imports optax"),
    "ops on errors": ("rule_jax/ops/a.py", "from rule_jax.errors import UserError", "ops imports rule_jax.errors"),
    "jit": ("rule_jax/stages/a.py", "import jax\nf = jax.jit(g)", "jit outside programs.py"),
    "jit by name": ("rule_jax/sampling.py", "from jax import jit", "jit outside programs.py"),
    "jit in a folder": ("rule_jax/ops/programs.py", "import jax\n@jax.jit\ndef f(): pass", "jit outside programs.py"),
    "torch": ("configs/a.py", "def f():\n    import torch.nn", "imports torch"),
    "pickle": ("rule_jax/hf.py", "from pickle import load", "imports pickle"),
    "arrays of objects": ("rule_jax/hf.py", "import numpy\nnumpy.load(f, allow_pickle=True)", "allow_pickle is not"),
    "remote code": ("rule_jax/hf.py", "load(p, trust_remote_code=True)", "trust_remote_code is not False"),
    "remote code, by a variable": ("launch/a.py", "load(p, trust_remote_code=x)", "trust_remote_code is not False"),
    "a machine's path": ("configs/a.py", 'path = "' + "/ho" + 'me/me/model"', "a path of one machine"),
    "a long file": ("rule_jax/data/a.py", "x = 1\n" * 401, "401 lines, more than 400"),
    "a long function": ("rule_jax/data/a.py", "def f():\n" + "    x = 1\n" * 80, "f has 81 lines of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_is_found(tmp_path, name):
    file, text, expected = BREACHES[name]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    found = faults(tmp_path)
    assert any(fault.startswith(f"{file}:") and expected in fault for fault in found), found


ALLOWED = {
    "downward": ("rule_jax/stages/a.py", "from rule_jax import hf, types\nfrom rule_jax.ops.masked import total"),
    "own room": ("rule_jax/models/a.py", "from . import layers\nfrom rule_jax.models import decoder"),
    "benchmarks on data": ("rule_jax/benchmarks/a.py", "from rule_jax.data import rwku"),
    "hf on programs": ("rule_jax/hf.py", "from rule_jax import programs"),
    "the one jit": ("rule_jax/programs.py", "import jax\nf = jax.jit(g)"),
    "ops": ("rule_jax/ops/a.py", "import math\nimport jax.numpy as jnp\nfrom rule_jax.types import Prompts"),
    "inner functions": ("rule_jax/data/a.py", "def f():\n" + 2 * ("    def g():\n" + "        x = 1\n" * 60)),
    "no remote code": ("rule_jax/hf.py", "load(p, trust_remote_code=False)"),
    "an address": ("configs/a.py", '"""See https://example.org/home/page and runs/tmp/x."""'),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_is_not_reported(tmp_path, name):
    file, text = ALLOWED[name]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert faults(tmp_path) == []
