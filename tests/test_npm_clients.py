"""The npm package under the libraries that others use: the AI SDK, LangChain.js, React and Vue.

The libraries are those of `web/npm/clients/`, whose folder has the examples too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import build_bytecode
from tests.test_npm_package import MODULES, ROOT, archive, node, project
from tools.lint_web import TSC

pytestmark = pytest.mark.slow
__all__ = ("archive", "project")

CLIENTS = ROOT / "web" / "npm" / "clients"
needs_clients = pytest.mark.skipif(
    not (CLIENTS / "node_modules" / "vite").is_dir(),
    reason="`make setup-test` brings the libraries",
)


@pytest.fixture(scope="module")
def clients(project: Path) -> Path:
    """A project with the packed package, the libraries, and the examples."""
    for path in CLIENTS.iterdir():
        if path.name == "node_modules":
            continue
        target = project / "web" / "npm" / "clients" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
    (project / "web" / "src").symlink_to(ROOT / "web" / "src")
    (project / "web" / "tests").symlink_to(ROOT / "web" / "tests")
    modules = project / "node_modules"
    for path in (CLIENTS / "node_modules").iterdir():
        here = modules / path.name
        if not here.exists() and not path.name.startswith("."):
            here.symlink_to(path)
    return project / "web" / "npm" / "clients"


def build(clients: Path, example: str, site: str) -> Path:
    """An example as Vite builds it, for a site at an address; the folder that it wrote."""
    found = build_bytecode.find_node()
    assert found is not None
    vite = clients.parents[2] / "node_modules" / "vite" / "bin" / "vite.js"
    command = [found, str(vite), "build", example, "--config", "vite.config.ts", "--outDir", "out"]
    environment = {**os.environ, "VITE_THIMBLE_SITE": site}
    ran = subprocess.run(command, cwd=clients, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return clients / example / "out"


@needs_clients
def test_the_ai_sdk_and_langchain_get_their_answers(clients: Path) -> None:
    esbuild = MODULES / "esbuild" / "bin" / "esbuild"
    options = "--bundle --platform=node --format=esm --outfile=clients.test.mjs --log-level=warning"
    # Some of LangChain's own packages are CommonJS, which asks for Node's modules as it runs.
    banner = (
        "--banner:js=import { createRequire } from 'node:module'; "
        "const require = createRequire(import.meta.url);"
    )
    ran = node(esbuild, "clients.test.ts", *options.split(), banner, cwd=clients)
    assert ran.returncode == 0, ran.stderr
    ran = node("--test", "--test-reporter=tap", "clients.test.mjs", cwd=clients)
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"\n# pass [1-9]", ran.stdout)


@needs_clients
def test_the_elements_are_typed_in_react_vue_and_svelte(clients: Path) -> None:
    ran = node(TSC, "--project", "tsconfig.json", cwd=clients)
    assert ran.returncode == 0, ran.stdout
    text = (clients / "react" / "main.tsx").read_text()
    wrong = clients / "react" / "wrong.tsx"
    wrong.write_text(text.replace("seed={7}", 'seed="many"'))
    options = "--noEmit --ignoreConfig --jsx react-jsx --strict --skipLibCheck --target ES2022"
    options += " --module ESNext --moduleResolution Bundler --types vite/client"
    ran = node(TSC, "react/wrong.tsx", *options.split(), cwd=clients)
    assert ran.returncode != 0 and "'string' is not assignable to type 'number'" in ran.stdout


@needs_clients
def test_the_adapters_are_small_and_share_the_engine(archive: Path, clients: Path) -> None:
    package = clients.parents[2] / "node_modules" / "thimble-lm"
    for name in ("ai", "langchain"):
        text = (package / f"{name}.js").read_text()
        assert len(text) < 2_000 and 'from "thimble-lm/openai"' in text
        assert "export declare function" in (package / "types" / f"{name}.d.ts").read_text()
    described = json.loads((package / "package.json").read_text())
    assert {*described["peerDependenciesMeta"]} == {*described["peerDependencies"]}
