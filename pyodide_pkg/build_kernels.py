"""How the C kernels become a library: which targets there are, and the compiler's command lines.

The compiler is clang as the PyPI package `ziglang` brings it, for every target the same one, so no
SDK is needed and any machine can build for any other. Knows nothing of wheels.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "kernels"

# No option that lets the compiler change a result: the same input gives the same bits everywhere.
# Without errno a square root is one instruction, with the same result.
# The sanitizers are off because zig turns them on by itself; they would be calls into its runtime.
COMMON_FLAGS = (
    "-std=c11",
    "-O3",
    "-g0",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-sanitize=all",
    "-fno-stack-protector",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-Werror",
)

# What a side module may take from Pyodide's main module. Any other undefined name is a mistake,
# and is reported when linking instead of when a visitor calls it.
WASM_IMPORTS = ("calloc", "free", "malloc", "memcpy", "memmove", "memset", "realloc")

# What a training's bits depend on.
TRAINING = ("train*.[ch]", "numeric.h", "simd.h", "quantize.c")
# What a training of low rank depends on besides.
ADAPTING = ("adapter_train.c",)
# What adapters depend on that learn through a model's plan: all that computes one, and back.
THROUGH_PLAN = (
    "adapter.c", "adapter_backward.c", "attention.c", "backward*.[ch]", "blocks.[ch]",
    "codes*.[ch]", "delta.[ch]", "dots.h", "experts.c", "gelu.h", "kv.h", "look_up.h",
    "matmul*.c", "numeric.h", "ops.c", "pack.c", "packed.h", "plan.[ch]", "products.c",
    "recurrent.c", "scan.h", "simd.h", "tiles.c", "train.h", "train_gemm.c",
)  # fmt: skip

EXPORT = re.compile(r"^TK_EXPORT\s[^;{(]*?\b(tk_\w+)\s*\(", re.MULTILINE)


class BuildError(Exception):
    """The kernels could not be built; the message has the compiler's own words."""


@dataclass(frozen=True)
class Variant:
    """One compilation of all kernels: for a processor's better instructions, say."""

    name: str
    flags: tuple[str, ...]
    stem: str = "_kernels"
    suffix: str = ""
    """Where it is not the target's."""


@dataclass(frozen=True)
class Target:
    """One kind of machine that wheels are made for."""

    name: str
    zig: str
    python_tag: str
    platform_tag: str
    variants: tuple[Variant, ...]
    suffix: str = ".so"
    shared_memory: bool = False
    """Whether the kernels stand alone on a memory that threads share, and not in Python's own."""

    @property
    def wheel_tag(self) -> str:
        return f"{self.python_tag}-{self.platform_tag}"

    @property
    def is_wasm(self) -> bool:
        return self.zig.startswith("wasm32")


# Pyodide 314's wheels carry the platform tag of its ABI. The kernels are reached by ctypes, so
# `py3-none` would be true of every wheel; for this one `pyodide lockfile add-wheels` takes a tag
# with a platform only as abi3.
PYODIDE_ABI = "2026_0"
ANY = "py3-none"

X86 = (Variant("base", ("-mcpu=x86_64_v2",)),)
ARM = (Variant("base", ("-mcpu=generic",)),)
# Relaxed SIMD is used where its result is exact, so both variants give the same bits.
SIMD = "-mcpu=generic+simd128+bulk_memory"
WASM = (
    Variant("base", (SIMD,)),
    # Not `.so`: Pyodide compiles all of those when a wheel is installed, also where a browser does
    # not know the instructions.
    Variant("relaxed", (f"{SIMD}+relaxed_simd",), "_kernels_relaxed", ".wasm"),
)
SHARED = f"{SIMD}+atomics+mutable_globals"
THREADS = (
    Variant("base", (SHARED,), "kernels"),
    Variant("relaxed", (f"{SHARED}+relaxed_simd",), "kernels_relaxed"),
)
MOST_SHARED = 1 << 31
"""Bytes that a shared memory may grow to; `web/src/worker/pool.ts` asks for as many."""


def _table() -> dict[str, Target]:
    abi = os.environ.get("PYODIDE_ABI_VERSION", PYODIDE_ABI)
    rows = (
        Target("wasm", "wasm32-freestanding", "cp311-abi3", f"pyemscripten_{abi}_wasm32", WASM),
        # No wheel has this one: the site serves it beside the wheel.
        Target("wasm-threads", "wasm32-freestanding", "", "", THREADS, ".wasm", shared_memory=True),
        Target("linux-x86_64", "x86_64-linux-gnu.2.17", ANY, "manylinux_2_17_x86_64", X86),
        Target("linux-aarch64", "aarch64-linux-gnu.2.17", ANY, "manylinux_2_17_aarch64", ARM),
        Target("musl-x86_64", "x86_64-linux-musl", ANY, "musllinux_1_1_x86_64", X86),
        Target("musl-aarch64", "aarch64-linux-musl", ANY, "musllinux_1_1_aarch64", ARM),
        Target("macos-x86_64", "x86_64-macos.11.0", ANY, "macosx_11_0_x86_64", X86, ".dylib"),
        Target("macos-aarch64", "aarch64-macos.11.0", ANY, "macosx_11_0_arm64", ARM, ".dylib"),
        Target("windows-x86_64", "x86_64-windows-gnu", ANY, "win_amd64", X86, ".dll"),
    )
    return {row.name: row for row in rows}


def host_target_name() -> str:
    """The name of the target that this machine is."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    if sys.platform == "darwin":
        return f"macos-{machine}"
    if sys.platform == "win32":
        return f"windows-{machine}"
    musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    return f"{'musl' if musl else 'linux'}-{machine}"


def target(name: str | None = None) -> Target:
    """The target called `name`; without a name, Pyodide under `pyodide build`, else this machine.

    pyodide-build announces itself in the environment; the host platform is the older sign.
    """
    if not name:
        announced = os.environ.get("PYODIDE") == "1"
        cross = "emscripten" in os.environ.get("_PYTHON_HOST_PLATFORM", "")
        name = "wasm" if announced or cross else host_target_name()
    elif name == "native":
        name = host_target_name()
    table = _table()
    if name not in table:
        raise BuildError(f"no build target is called {name!r}; there are: {', '.join(table)}")
    return table[name]


def source_files() -> list[Path]:
    """Every C source, in an order that does not depend on the file system."""
    return sorted(SOURCES.glob("*.c"))


def exports() -> list[str]:
    """The functions that Python may call: those declared or defined with TK_EXPORT."""
    names: set[str] = set()
    for path in sorted(SOURCES.glob("*.[ch]")):
        names.update(EXPORT.findall(path.read_text(encoding="utf-8")))
    return sorted(names)


def training_sha256(names: tuple[str, ...] = TRAINING) -> str:
    """The hash of the sources that decide a training's bits; receipts name it."""
    digest = hashlib.sha256()
    for name in names:
        for path in sorted(SOURCES.glob(name)):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(wanted: Target, folder: Path, *, optimize: str = "-O3") -> list[Path]:
    """Compile every variant for a target into `folder`; returns the libraries."""
    if not source_files():
        raise BuildError(f"there are no C sources in {SOURCES}")
    names = exports()
    if not names:
        raise BuildError(f"no function in {SOURCES} is marked TK_EXPORT")
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for variant in wanted.variants:
        library = folder / f"{variant.stem}{variant.suffix or wanted.suffix}"
        with tempfile.TemporaryDirectory() as scratch:
            objects = _compile(wanted, variant, Path(scratch), optimize)
            fresh = Path(scratch) / library.name
            _link(wanted, variant, objects, fresh, names)
            # Replaced and not overwritten: a running program may have the old file mapped.
            _replace(fresh, library)
        made.append(library)
    return made


def _compile(wanted: Target, variant: Variant, scratch: Path, optimize: str) -> list[Path]:
    flags = [optimize if flag == "-O3" else flag for flag in COMMON_FLAGS]
    flags.append(f'-DTK_TRAINING="{training_sha256()}"')
    flags.append(f'-DTK_ADAPTING="{training_sha256(ADAPTING)}"')
    if wanted.shared_memory:
        flags.remove("-fPIC")

    def one(source: Path) -> Path:
        made = scratch / f"{source.stem}.o"
        # For one file alone: a change of any of them then compiles no more than that.
        plan = source.name == "adapter_backward.c"
        own = [f'-DTK_THROUGH_PLAN="{training_sha256(THROUGH_PLAN)}"'] if plan else []
        # A relative source and working folder keep the machine's paths out of the result.
        _zig(
            "cc",
            "-target",
            wanted.zig,
            *variant.flags,
            *flags,
            *own,
            "-c",
            source.name,
            "-o",
            str(made),
        )
        return made

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(one, source_files()))


def _link(
    wanted: Target, variant: Variant, objects: list[Path], library: Path, names: list[str]
) -> None:
    paths = [str(path) for path in objects]
    if not wanted.is_wasm:
        cc = ("cc", "-target", wanted.zig, *variant.flags, "-shared", "-fPIC", "-g0", "-s")
        _zig(*cc, "-fno-sanitize=all", "-o", str(library), *paths)
        return
    # The linker itself, not through the compiler's driver: the driver would hand the result to any
    # `wasm-opt` that it finds on the machine.
    if wanted.shared_memory:
        options = ["--no-entry", "--import-memory", "--shared-memory", "--strip-all"]
        options += ["--gc-sections", f"--max-memory={MOST_SHARED}", "--export=__stack_pointer"]
        options += [f"--export={name}" for name in names]
        _zig("wasm-ld", *options, "-o", str(library), *paths)
        return
    allowed = library.with_suffix(".imports")
    allowed.write_text("".join(f"{name}\n" for name in WASM_IMPORTS), encoding="utf-8")
    options = ["-shared", "--experimental-pic", "--no-entry", "--strip-all", "--gc-sections"]
    options += [f"--allow-undefined-file={allowed}", *(f"--export={name}" for name in names)]
    _zig("wasm-ld", *options, "-o", str(library), *paths)


def _zig(*arguments: str) -> None:
    environment = dict(os.environ)
    # Inside the tree, so that a build neither needs a home folder nor leaves anything in it.
    cache = environment.setdefault("ZIG_GLOBAL_CACHE_DIR", str(HERE / "build" / "zig"))
    environment.setdefault("ZIG_LOCAL_CACHE_DIR", cache)
    # Under `pyodide build` this one names the target's Python; ziglang runs in the machine's own.
    environment.pop("_PYTHON_SYSCONFIGDATA_NAME", None)
    command = [sys.executable, "-m", "ziglang", *arguments]
    ran = subprocess.run(command, cwd=SOURCES, env=environment, capture_output=True, text=True)
    if ran.returncode:
        raise BuildError(f"{' '.join(command)}\n{ran.stdout}{ran.stderr}")


def _replace(fresh: Path, library: Path) -> None:
    beside = library.with_name(f".{library.name}.{os.getpid()}")
    shutil.copyfile(fresh, beside)
    beside.chmod(0o755)
    os.replace(beside, library)
