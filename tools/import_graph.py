"""Which module imports which, and where that goes in a circle: `python -m tools.import_graph`.

Every import counts, also one inside of a function. Those for types only (`if TYPE_CHECKING`,
`import type`) do not: they are never run.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.fingerprint import ROOT

Graph = dict[str, set[str]]

PYTHON = {
    "thimble": "pyodide_pkg/thimble", "tools": "tools", "bench": "bench", "tests": "tests",
}  # fmt: skip
"""Packages, and their folders."""
ALONE = (
    "server.py", "pyodide_pkg/backend.py", "pyodide_pkg/build_archive.py",
    "pyodide_pkg/build_bytecode.py", "pyodide_pkg/build_kernels.py",
)  # fmt: skip
TYPESCRIPT = ("web/src", "bench/pages")
_FROM = re.compile(
    r"""^\s*(?:import|export)\s+(?!type\b)[^;"']*?from\s*["'](\.[^"']+)["']"""
    r"""|^\s*import\s*["'](\.[^"']+)["']|\bimport\(\s*["'](\.[^"']+)["']\s*\)"""
    r"""|new URL\(\s*["'](\.[^"']+\.ts)["']""",
    re.MULTILINE,
)


def python_graph(root: Path = ROOT) -> Graph:
    """The Python modules of the project, and those of them that each imports."""
    files = {Path(name).stem: root / name for name in ALONE}
    for package, folder in PYTHON.items():
        for path in (root / folder).rglob("*.py"):
            parts = [package, *path.relative_to(root / folder).with_suffix("").parts]
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {
        name: {other for other in _python_imports(name, path, files) if other != name}
        for name, path in files.items()
    }


def _python_imports(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _run(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level]
            module = ".".join([*(parts if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                found = inner if inner in files else module
                if found in files:
                    yield found


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """What may be run of a tree: all but what is there for types only."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _run(other)
        else:
            yield from _run(child)


def typescript_graph(root: Path = ROOT) -> Graph:
    """The TypeScript modules of the page, and those of them that each imports."""
    files = [path for folder in TYPESCRIPT for path in (root / folder).rglob("*.ts")]
    graph: Graph = {}
    for path in files:
        found = graph[str(path.relative_to(root))] = set()
        for match in _FROM.finditer(path.read_text(encoding="utf-8")):
            target = (path.parent / next(filter(None, match.groups()))).resolve()
            for module in (target, target.with_name(f"{target.name}.ts"), target / "index.ts"):
                if module.suffix == ".ts" and module.is_file():
                    found.add(str(module.relative_to(root)))
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules each of which leads to all others of its group (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            group, stack[at:] = stack[at:], []
            if len(group) > 1 or name in graph[name]:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def main() -> int:
    bad = 0
    for language, graph in (("Python", python_graph()), ("TypeScript", typescript_graph())):
        found = circles(graph)
        bad += len(found)
        links = sum(map(len, graph.values()))
        print(f"{language}: {len(graph)} modules, {links} imports, {len(found)} circles")
        for group in found:
            print("   " + ", ".join(group))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
