"""Rooms: which folder may import which, without a circle of any kind, and nothing heavy where it isn't used."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from places import ROOT

PACKAGES = {"tessera_kernels": "kernels", "tessera_engine": "engine", "tessera_export": "export"}

ROOMS = (
    ("errors", "version"),
    ("finding", "progress", "scene"),
    ("offline",),
    ("machine", "gdal"),
    ("geo", "tokens"),
    ("files",),
    ("simulate", "model", "places"),
    ("scenes",),
    ("guard", "stac"),
    ("formats",),
    ("backends", "pictures"),
    ("running",),
    ("cluster",),
    ("api",),
    ("verification",),
    ("analysis", "jobs"),
    ("view", "kit"),
    ("cli",),
    ("__main__",),
)
"""The engine's rooms from the bottom up. A room imports from rows above its own here, never from its own row."""

LOOSE = 10
"""Modules at most in the engine's root, besides `__init__` and `__main__`."""

LONGEST, MEDIAN = 450, 120
"""Lines of a module."""

PARAMETERS = 8
"""Of a function outside of the command line, whose functions have one parameter an option."""


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_of(path): path
    for folder in PACKAGES.values()
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.is_relative_to(ROOT / folder / "build")
}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


def imported(module: str) -> set[str]:
    """Our modules that a module imports anywhere: lazily, for types, and by a name in a string too."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found.add(node.value)
    return {name for name in found & FILES.keys() if name != module}


GRAPH = {module: imported(module) for module in FILES}


def room_of(module: str) -> str:
    package, _, rest = module.partition(".")
    return rest.split(".")[0] if package == "tessera_engine" else package


@pytest.mark.parametrize("module", sorted(FILES))
def test_packages_are_imported_one_way(module):
    order = list(PACKAGES)
    package = module.split(".")[0]
    above = set(order[order.index(package) + 1 :])
    assert not {name.split(".")[0] for name in GRAPH[module]} & above


@pytest.mark.parametrize("module", sorted(name for name in FILES if name.startswith("tessera_engine.")))
def test_rooms_are_imported_downwards(module):
    floor = {room: number for number, row in enumerate(ROOMS) for room in row}
    here = room_of(module)
    assert here in floor, f"the table has no room '{here}'"
    for name in GRAPH[module]:
        if name.startswith("tessera_engine") and room_of(name) != here:
            assert floor[room_of(name)] < floor[here], f"{module} imports {name}"


def circles(graph):
    """Groups of modules that import each other, directly or not (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_no_modules_import_each_other():
    assert circles(GRAPH) == []


def test_no_rooms_import_each_other():
    rooms = {}
    for module, names in GRAPH.items():
        inside = {room_of(name) for name in names} - {room_of(module)}
        rooms[room_of(module)] = rooms.get(room_of(module), set()) | inside
    assert circles(rooms) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_the_engines_root_holds_little():
    loose = {path.stem for path in (ROOT / "engine/tessera_engine").glob("*.py")} - {"__init__", "__main__"}
    assert len(loose) <= LOOSE, sorted(loose)


def test_modules_are_short():
    lines = {module: path.read_text(encoding="utf-8").count("\n") for module, path in FILES.items()}
    longest = max(lines, key=lines.get)
    assert lines[longest] < LONGEST, longest
    assert sorted(lines.values())[len(lines) // 2] < MEDIAN


# A command takes all its options, and a kernel of a GPU the address of each array
@pytest.mark.parametrize(
    "module", sorted(name for name in FILES if not {"cli", "gpu_kernels"} & set(name.split(".")))
)
def test_functions_take_few_parameters(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef):
            taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [argument.arg for argument in taken if argument.arg not in ("self", "cls")]
            assert len(names) <= PARAMETERS, f"{module}.{node.name} takes {', '.join(names)}"


def loading(module: str) -> set[str]:
    """Top-level packages that a module imports as it loads."""
    tree = TREES[module]
    later = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in later:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.split(".")[0] for name in names}


HEAVY = {"numpy", "numba", "onnx", "onnxruntime", "rasterio", "rich", "torch", "sklearn"}


COMMAND_LINE = [name for name in FILES if "cli" in name.split(".") and "pages" not in name.split(".")]


@pytest.mark.parametrize("module", sorted(COMMAND_LINE))
def test_the_command_line_loads_nothing_heavy(module):
    assert not loading(module) & HEAVY


@pytest.mark.parametrize("module", sorted(name for name in FILES if not name.startswith("tessera_export")))
def test_only_the_export_package_knows_torch_and_triton(module):
    anywhere = {
        alias.name.split(".")[0]
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module.split(".")[0] for node in ast.walk(TREES[module]) if isinstance(node, ast.ImportFrom)}
    assert not {"torch", "triton", "cupy", "pycuda", "cuda"} & anywhere


@pytest.mark.parametrize("folder", ["engine", "export", "kernels", "qgis", "tests", "benchmarks"])
def test_top_level_folders_are_no_packages(folder):
    assert not (ROOT / folder / "__init__.py").exists()
