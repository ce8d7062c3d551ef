"""The architecture, held by a test over the source: floors import downward only, and there are no rings."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import steelyard

ROOT = Path(steelyard.__file__).parent
FLOORS = {
    "_checks": 0, "_files": 0, "_ranks": 0, "_features": 1, "records": 1, "recipe": 1, "words": 1,
    "functional": 2, "metrics": 2, "data": 2, "uncertainty": 2, "hooks": 2,
    "losses": 3, "weighting": 3, "constraints": 3, "models": 3, "refit": 3,
    "objective": 4,
    "catalog": 5, "training": 5, "testing": 5,
    "studies": 6,
    "report": 7,
    "cli": 8,
}  # fmt: skip
FORBIDDEN = {
    "functional": {"data", "metrics", "records"},
    "data": {"losses", "objective", "functional"},
    "models": {"losses", "objective", "functional", "data"},
    "refit": {"data", "functional"},
    "training": {"losses", "weighting", "constraints", "models", "refit", "catalog"},
    "report": {"training", "models", "losses", "refit", "data"},
}
FILES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__main__.py")  # only starts the command


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> set[str]:
    """Modules of the package that ``path`` imports, for type checking too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = {module_of(file) for file in FILES}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("steelyard"):
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= (inner & known) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("steelyard")}
    return found


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_part_has_a_floor() -> None:
    assert {part_of(module_of(path)) for path in FILES} - {""} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_downward_only(path: Path) -> None:
    here = part_of(module_of(path))
    for module in imports(path) if here else ():
        there = part_of(module)
        if there and there != here:
            assert FLOORS[there] < FLOORS[here], f"{module_of(path)} imports {module}, which is not below it"
            assert there not in FORBIDDEN.get(here, set()), f"{here} must not know {there}"
            assert there not in ("cli", "testing"), f"nothing imports {there}"


def test_there_is_no_ring_of_imports() -> None:
    graph = {module_of(path): imports(path) for path in FILES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"ring: {' -> '.join((*trail, module))}"
        if module not in done:
            for other in graph.get(module, ()):
                if other != module.rpartition(".")[0]:  # a file may live in the folder whose face lists it
                    visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_files_and_functions_fit_the_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body and node.end_lineno else 0
            assert lines <= 45, f"{node.name} has {lines} lines"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            assert "cli" in path.parts, "only the command prints"


@pytest.mark.parametrize("statement", ["import steelyard", "import steelyard.cli", "import steelyard.report"])
def test_torch_loads_with_the_verb_that_needs_it(statement: str) -> None:
    code = f"{statement}\nimport sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
