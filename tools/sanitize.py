"""The kernels with AddressSanitizer and UndefinedBehaviorSanitizer: their tests, and broken files.

    make sanitize
    python -m tools.sanitize --runs 20000 --seed 3 --tests tests/test_state.py

The compiler is the one of every build, whose package has no run time for its sanitizers: that is
GCC's (`libasan`, `libubsan`; Debian's package `gcc`), of the same interface, preloaded. A copy of
the package in build/sanitize has these kernels beside it. The first report ends the process that
made it, and so fails its test or is the fuzzer's finding; all are put into build/sanitize too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import build_kernels
from tools.fingerprint import BUILD, ROOT

PLACE = BUILD / "sanitize"
CHECKS = (
    "address,alignment,array-bounds,bool,builtin,enum,float-cast-overflow,integer-divide-by-zero,"
    "nonnull-attribute,null,pointer-overflow,return,returns-nonnull-attribute,shift-base,"
    "shift-exponent,signed-integer-overflow,unreachable,vla-bound"
)
# The driver of `zig cc` drops what has no run time; the compiler behind it does not.
FLAGS = ("-O1", "-g", "-fno-omit-frame-pointer", "-Xclang", f"-fsanitize={CHECKS}")
OPTIONS = {
    # Python keeps what it has until it ends. Memory that was freed waits in a small quarantine,
    # because the fuzzers look at how much the process grows.
    "ASAN_OPTIONS": f"detect_leaks=0:quarantine_size_mb=4:allocator_may_return_null=1:"
    f"log_path={PLACE / 'report'}",
    "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={PLACE / 'report'}",
}
TESTS = (
    "test_adapter", "test_architectures", "test_bits", "test_constrain_tokens", "test_dequantize",
    "test_embedding", "test_ensemble", "test_lens_capture", "test_lens_hooks", "test_numeric",
    "test_plan", "test_quantize", "test_quantize_k", "test_samplers", "test_sampling",
    "test_session", "test_sizes", "test_speculate", "test_state", "test_train_kernels",
)  # fmt: skip
"""The test files whose work is the kernels'."""


def build() -> Path:
    """Compile the kernels with every check into a copy of the package; returns its folder."""
    shutil.rmtree(PLACE, ignore_errors=True)
    copied = PLACE / "package" / "thimble"
    unneeded = shutil.ignore_patterns("__pycache__", "_kernels*")
    shutil.copytree(ROOT / "pyodide_pkg" / "thimble", copied, ignore=unneeded)
    target = build_kernels.target("native")
    dropped = {"-O3", "-g0", "-fno-sanitize=all"}
    flags = [flag for flag in build_kernels.COMMON_FLAGS if flag not in dropped]
    flags += [f'-DTK_TRAINING="{build_kernels.training_sha256()}"']
    flags += [f'-DTK_ADAPTING="{build_kernels.training_sha256(build_kernels.ADAPTING)}"']
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", target.zig]
    compiler += [*target.variants[0].flags, *FLAGS, *flags]

    def compiled(source: Path) -> str:
        made = PLACE / f"{source.stem}.o"
        command = [*compiler, "-c", source.name, "-o", str(made)]
        subprocess.run(command, cwd=build_kernels.SOURCES, check=True)
        return str(made)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(compiled, build_kernels.source_files()))
    library = copied / f"_kernels{target.suffix}"
    subprocess.run(["gcc", "-shared", "-o", str(library), *objects, "-lm"], check=True)
    return copied.parent


def environment(package: Path) -> dict[str, str]:
    """Where Python finds these kernels, and they their run time."""
    found = []
    for name in ("libasan.so", "libubsan.so"):
        asked = ["gcc", f"-print-file-name={name}"]
        found.append(subprocess.run(asked, capture_output=True, text=True).stdout.strip())
    if not all(os.path.isabs(path) for path in found):
        raise SystemExit("GCC's libasan and libubsan are needed (Debian: apt-get install gcc)")
    path = os.pathsep.join((str(package), str(ROOT / "pyodide_pkg")))
    return {**os.environ, **OPTIONS, "LD_PRELOAD": " ".join(found), "PYTHONPATH": path}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100_000, help="broken files")
    parser.add_argument("--seed", type=int, default=0)
    files = [f"tests/{name}.py" for name in TESTS]
    parser.add_argument("--tests", nargs="*", default=files)
    options = parser.parse_args()
    package = build()
    within = environment(package)
    ask = "import thimble.kernel as k; k.default_kernel(); print(k.library_path())"
    said = subprocess.run([sys.executable, "-c", ask], env=within, capture_output=True, text=True)
    if said.stdout.strip() != str(package / "thimble" / "_kernels.so"):
        raise SystemExit(f"Python does not take these kernels: {said.stdout}{said.stderr}")
    codes = []
    if options.tests:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-o",
            "pythonpath=",
        ]
        codes.append(subprocess.run([*command, *options.tests], env=within, cwd=ROOT).returncode)
    if options.runs:
        command = [sys.executable, "-m", "tests.fuzz", "--runs", str(options.runs)]
        command += ["--seed", str(options.seed)]
        codes.append(subprocess.run(command, env=within, cwd=ROOT).returncode)
    reports = sorted(PLACE.glob("report.*"))
    print(f"{len(reports)} reports of the sanitizers")
    for report in reports:
        print(report.read_text(encoding="utf-8", errors="replace"))
    return 1 if reports or any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
