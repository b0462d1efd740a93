"""Which tests can notice a fault in a room: its own, and those of the rooms that import it, nearest first."""

import ast
from functools import cache
from pathlib import Path

import grimp

PACKAGE = "maskreel"


def importers(room: str) -> list[str]:
    """The room and all that import it, by their distance in the graph of imports; of a ring, the lowest rooms first."""
    users, used = _graph()
    order, ring = [room], [room]
    while ring:
        found = {user for one in ring for user in users.get(one, ())} - set(order)
        ring = sorted(found, key=lambda one: (len(used[one]), one))
        order += ring
    return order


@cache
def _graph() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Rooms that import a room, and rooms that a room imports."""
    graph = grimp.build_graph(PACKAGE)
    users: dict[str, set[str]] = {}
    used: dict[str, set[str]] = {_room(module): set() for module in graph.modules}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if _room(module) != _room(imported):
                users.setdefault(_room(imported), set()).add(_room(module))
                used[_room(module)].add(_room(imported))
    return users, used


def suites_of(rooms: list[str], root: Path) -> list[list[str]]:
    """Folders or files of tests for each room in turn; last the folders that mirror no room and import one of them."""
    folders = [
        [name for name in (f"tests/{room}", f"tests/test_{room}.py") if (root / name).exists()] for room in rooms
    ]
    known = set(_graph()[1])
    others = [path for path in (root / "tests").iterdir() if path.is_dir() and (path / "__init__.py").exists()]
    strange = [path for path in others if path.name not in known | {"mutants"}]
    last = [f"tests/{path.name}" for path in sorted(strange) if _imported(path) & set(rooms)]
    return [names for names in (*folders, last) if names]


def nearest(suites: list[list[str]], file: str, root: Path) -> list[str]:
    """The test files that are likeliest to notice a fault in a module.

    First those of its own suite that are named after it, then those of any suite that import it by name.
    """
    own, module = _files(suites[0], root), f"{PACKAGE}.{file.removesuffix('.py').replace('/', '.')}"
    named = [path for path in own if Path(file).stem in path.stem]
    asking = [path for suite in suites for path in _files(suite, root) if module in _imports(path)]
    return [str(path.relative_to(root)) for path in dict.fromkeys(named + asking)]


def _files(suite: list[str], root: Path) -> list[Path]:
    paths = [root / name for name in suite]
    return [path for one in paths for path in ([one] if one.is_file() else sorted(one.rglob("test_*.py")))]


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else PACKAGE


def _imported(folder: Path) -> set[str]:
    """Rooms that the files of a folder import by name."""
    names = {name for path in folder.rglob("*.py") for name in _imports(path)}
    return {_room(name) for name in names if name.startswith(f"{PACKAGE}.")}


@cache
def _imports(path: Path) -> frozenset[str]:
    """Modules that a file imports by name, and whatever it imports from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)
