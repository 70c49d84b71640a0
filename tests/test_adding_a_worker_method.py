"""A worker method is three files: its line, the method in Python, and the place that asks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import build_bytecode
from tests.conftest import ROOT
from tools.lint_web import TSC

LINE = "  /** How many words a text has, and in how many of them a letter occurs. */\n"
LINE += "  countWords(text: string, letter: string): readonly [number, number];\n}\n"
METHOD = """
    def count_words(self, text: str, letter: str) -> tuple[int, int]:
        words = text.split()
        return len(words), sum(letter in word for word in words)

    def begin(self, session"""
PLACE = """
export const counted = async (live: LiveSession): Promise<number> =>
  (await live.ask((engine) => engine.read.countWords("once upon a time", "o")))[1];
"""
FORWARD = """
import { withServices } from "./src/worker/services";
const said: unknown[] = [];
const python = async () => ({ call: async (...question: unknown[]) => said.push(question) });
const core = withServices({}, {} as never, python as never);
await core.read.countWords("once upon a time", "o");
console.log(JSON.stringify(said));
"""
CALL = """
import json, sys
from thimble.browser.engine import Engine
print(json.loads(Engine().call(*json.loads(sys.argv[1])))["value"])
"""


def put(path: Path, before: str, text: str) -> None:
    source = path.read_text(encoding="utf-8")
    head, mark, tail = source.partition(before)
    assert mark, before
    path.write_text(head + text + tail, encoding="utf-8")


@pytest.mark.slow
def test_a_worker_method_is_there_by_its_line_and_its_python(tmp_path: Path) -> None:
    web, package = tmp_path / "web", tmp_path / "pyodide_pkg"
    ignored = shutil.ignore_patterns("node_modules", "models", "build", "__pycache__")
    for name in ("web", "pyodide_pkg/thimble"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (web / "node_modules").symlink_to(ROOT / "web" / "node_modules")
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "test_worker_methods.py", tmp_path / "tests")

    protocol = web / "src" / "protocol" / "read.ts"
    head, _, tail = protocol.read_text(encoding="utf-8").partition("export interface ReadService {")
    body, end, rest = tail.partition("\n}\n")
    assert end
    protocol.write_text(f"{head}export interface ReadService {{{body}\n{LINE}{rest}")
    put(package / "thimble" / "browser" / "read.py", "\n    def begin(self, session", METHOD)
    panel = web / "src" / "panels" / "read.ts"
    panel.write_text(panel.read_text(encoding="utf-8") + PLACE)

    environment = os.environ | {"PYTHONPATH": f"{package}{os.pathsep}{ROOT}"}

    def run(*command: str) -> str:
        ran = subprocess.run(command, cwd=web, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    node = build_bytecode.find_node() or "node"
    run(node, str(TSC), "--noEmit", "--project", "tsconfig.json")
    run(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "../tests/test_worker_methods.py")

    (web / "forward.ts").write_text(FORWARD)
    esbuild = str(web / "node_modules" / ".bin" / "esbuild")
    run(esbuild, "forward.ts", "--bundle", "--format=esm", "--outfile=forward.mjs")
    [question] = json.loads(run(node, "forward.mjs"))
    assert question == ["read.count_words", "once upon a time", "o"]
    assert run(sys.executable, "-c", CALL, json.dumps(question)) == "[4, 2]\n"
