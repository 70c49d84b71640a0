"""No module leads back to itself by its imports, in Python and in TypeScript."""

from __future__ import annotations

from pathlib import Path

from tools.import_graph import circles, python_graph, typescript_graph


def test_python_has_no_circles() -> None:
    graph = python_graph()
    assert "thimble.session" in graph["thimble.generation"] | graph["thimble.model"]
    assert circles(graph) == []


def test_typescript_has_no_circles() -> None:
    graph = typescript_graph()
    assert sum(map(len, graph.values())) > len(graph)
    assert circles(graph) == []


def test_circles_are_found_also_lazy_ones_and_types_do_not_count(tmp_path: Path) -> None:
    package = tmp_path / "pyodide_pkg" / "thimble"
    for folder in (package, tmp_path / "tools", tmp_path / "bench", tmp_path / "tests"):
        folder.mkdir(parents=True)
    for name in ("server", "pyodide_pkg/backend", "pyodide_pkg/build_archive",
                 "pyodide_pkg/build_bytecode", "pyodide_pkg/build_kernels"):  # fmt: skip
        (tmp_path / f"{name}.py").touch()
    (package / "__init__.py").write_text("from .one import x\n")
    (package / "one.py").write_text("def f():\n    from . import two\n")
    (package / "two.py").write_text("from ..thimble import three\n")
    (package / "three.py").write_text("import thimble.one\n")
    (package / "four.py").write_text("if TYPE_CHECKING:\n    from .five import y\n")
    (package / "five.py").write_text("from .four import z\n")
    assert circles(python_graph(tmp_path)) == [["thimble.one", "thimble.three", "thimble.two"]]
    web = tmp_path / "web" / "src"
    (web / "ui").mkdir(parents=True)
    (web / "a.ts").write_text('import {\n  b,\n} from "./b";\n')
    (web / "b.ts").write_text('const c = import("./ui/c");\nimport type { D } from "./d";\n')
    (web / "ui" / "c.ts").write_text('export { a } from "../a";\n')
    (web / "d.ts").write_text('import { b } from "./b";\n')
    assert circles(typescript_graph(tmp_path)) == [
        ["web/src/a.ts", "web/src/b.ts", "web/src/ui/c.ts"]
    ]
