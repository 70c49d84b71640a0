"""Packs the API and the widget for npm, with their types, for people who bundle.

    python -m tools.npm_package [FOLDER]

What it packs is made by `web/npm/build.mjs` and TypeScript's compiler; it writes FOLDER/package, as
npm would publish it, and FOLDER/thimble-lm-VERSION.tgz (`build/npm-package`). Nothing is published.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import build_archive
import build_bytecode
from tools import third_party
from tools.fingerprint import BUILD, ROOT
from tools.lint_web import TSC

WEB = ROOT / "web"
FOLDER = BUILD / "npm-package"

ENTRIES = {
    ".": {"types": "./types/thimble.d.ts", "default": "./index.js"},
    "./widget": {"types": "./types/widget.d.ts", "default": "./widget.js"},
    "./task": {"types": "./types/task-widget.d.ts", "default": "./task.js"},
    "./openai": {"types": "./types/openai.d.ts", "default": "./openai.js"},
    "./language-model": {
        "types": "./types/language-model.d.ts", "default": "./language-model.js",
    },
    "./ai": {"types": "./types/ai.d.ts", "default": "./ai.js"},
    "./langchain": {"types": "./types/langchain.d.ts", "default": "./langchain.js"},
    "./react": {"types": "./types/react.d.ts"},
    "./vue": {"types": "./types/vue.d.ts"},
    "./svelte": {"types": "./types/svelte.d.ts"},
}  # fmt: skip
ADAPTERS = ("ai", "langchain")
"""Entries for other people's libraries, each a file that takes the rest from the package itself."""
PEERS = {
    "@ai-sdk/openai-compatible": ">=2",
    "@langchain/core": ">=1",
    "@langchain/openai": ">=1",
}
"""What the adapters want; whoever uses none of them needs none."""


class PackageError(RuntimeError):
    """A step failed; the message holds what it said."""


def pack(folder: Path = FOLDER) -> Path:
    """Write the package and its archive into `folder`; returns the archive."""
    package = folder / "package"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    used: list[str] = json.loads(_node(WEB / "npm" / "build.mjs", package))
    if unknown := {*used} - {*_pinned(), *PEERS, build_archive.project()["name"]}:
        raise PackageError(f"nothing says which version of {', '.join(sorted(unknown))} is meant")
    project = WEB / "npm" / "tsconfig.json"
    _node(TSC, "--project", project, "--outDir", package / "types")
    # Their libraries are not here: the types are as written, and `tests/test_npm_clients.py` checks
    # them with the libraries.
    adapters = [WEB / "npm" / f"{name}.ts" for name in ADAPTERS]
    options = "--declaration --emitDeclarationOnly --noCheck --target ES2022 --module ESNext"
    options += " --moduleResolution Bundler --ignoreConfig"
    _node(TSC, *adapters, *options.split(), "--outDir", package / "types")
    for path in (WEB / "npm" / "types").glob("*.d.ts"):
        shutil.copyfile(path, package / "types" / path.name)
    for path in (package / "types").rglob("*.d.ts"):
        path.write_text(_with_suffixes(path.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copyfile(WEB / "npm" / "README.md", package / "README.md")
    shutil.copyfile(ROOT / "LICENSE", package / "LICENSE")
    # What it depends on comes by npm with its own; this says which licences those are.
    parts = third_party.text(third_party.packages())
    (package / third_party.NAME).write_text(parts, encoding="utf-8")
    text = json.dumps(description(used), indent=2)
    (package / "package.json").write_text(text + "\n", encoding="utf-8")
    return _archive(package, folder)


def description(used: list[str]) -> dict[str, Any]:
    project = build_archive.project()
    pinned = _pinned()
    return {
        "name": project["name"],
        "version": project["version"],
        "description": project["description"],
        "license": project["license"],
        "type": "module",
        "exports": ENTRIES,
        "types": "./types/thimble.d.ts",
        "files": ["*.js", "types", third_party.NAME],
        # Importing one of these defines its element.
        "sideEffects": ["./widget.js", "./task.js", "./language-model.js"],
        "dependencies": {name: f"^{pinned[name]}" for name in used if name in pinned},
        "peerDependencies": PEERS,
        "peerDependenciesMeta": {name: {"optional": True} for name in PEERS},
    }


def _pinned() -> dict[str, str]:
    """The packages that ours is made with, and their versions."""
    described = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    pinned: dict[str, str] = described["dependencies"]
    return pinned


def _with_suffixes(types: str) -> str:
    """Relative imports with `.js`: resolution as Node has it wants them, and all others do too."""
    return re.sub(
        r"""((?:from|import\()\s*["'])(\.\.?/[^"']*?)(?:\.js)?(["'])""", r"\1\2.js\3", types
    )


def _archive(package: Path, folder: Path) -> Path:
    node = Path(build_bytecode.find_node() or "node").resolve()
    beside = node.with_name("npm")
    npm = str(beside) if beside.exists() else shutil.which("npm") or "npm"
    environment = {"npm_config_cache": str(BUILD / "npm"), **os.environ}
    command = [npm, "pack", "--json", "--loglevel=error", "--pack-destination", str(folder)]
    ran = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise PackageError(f"npm pack failed:\n{ran.stdout}{ran.stderr}")
    name: str = json.loads(ran.stdout)[0]["filename"]
    return folder / name


def _node(*command: str | Path) -> str:
    node = build_bytecode.find_node()
    if node is None:
        raise PackageError("Node was not found: run `make setup`")
    words = [node, *map(str, command)]
    ran = subprocess.run(words, cwd=WEB, capture_output=True, text=True)
    if ran.returncode:
        raise PackageError(f"this failed: {' '.join(words)}\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def main() -> int:
    try:
        made = pack(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else FOLDER)
    except PackageError as error:
        print(f"npm package: {error}", file=sys.stderr)
        return 1
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
