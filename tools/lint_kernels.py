"""Checks the C kernels with the compiler's warnings on, for every instruction set they run on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import build_kernels

TARGETS = ("wasm", "wasm-threads", "linux-x86_64", "linux-aarch64")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", "-Wundef", "-Werror")


def check(name: str, source: Path) -> str:
    """What the compiler has to say of one file for one target."""
    target = build_kernels.target(name)
    # Compiled in full: zig's driver does not stop after the syntax.
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target.zig, "-c", source.name]
    command += [*target.variants[0].flags, *build_kernels.COMMON_FLAGS, *WARNINGS]
    with tempfile.TemporaryDirectory() as scratch:
        command += ["-o", f"{scratch}/out.o"]
        ran = subprocess.run(command, cwd=source.parent, capture_output=True, text=True)
    return "" if ran.returncode == 0 else f"{source.name} for {name}:\n{ran.stderr}"


def main() -> int:
    work = [(name, source) for name in TARGETS for source in build_kernels.source_files()]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = [text for text in pool.map(lambda pair: check(*pair), work) if text]
    print("".join(found), end="", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
