"""Checks the types of the front end: TypeScript's compiler, which here writes nothing."""

from __future__ import annotations

import subprocess
import sys

import build_bytecode
from tools.fingerprint import ROOT

TSC = ROOT / "web" / "node_modules" / "typescript" / "bin" / "tsc"


def main() -> int:
    node = build_bytecode.find_node()
    if node is None:
        print("Node was not found: run `make setup`", file=sys.stderr)
        return 1
    # The page's and workers' scope, the service worker's, Node's: each has globals of its own.
    results = [
        subprocess.run([node, str(TSC), "--noEmit", "--project", name], cwd=ROOT / "web").returncode
        for name in ("tsconfig.json", "tsconfig.service-worker.json", "tsconfig.tests.json")
    ]
    return max(results)


if __name__ == "__main__":
    sys.exit(main())
