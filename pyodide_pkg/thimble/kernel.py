"""How Python reaches kernel memory and calls kernels.

Nobody else assumes that kernel memory is Python's own: everything goes through `Kernel`, whose
addresses are plain integers. `CKernel` runs the shared library that stands beside this file, whose
memory is the process's: natively, and in Pyodide, where it is a side module in Python's own heap.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from .errors import MemoryLimitError, OptionError, ThimbleError

ABI_VERSION = 2
"""Of the kernels that this package can call (`TK_ABI_VERSION`)."""
BATCH = 32
"""Tokens that pass through the layers together (`TK_BATCH`)."""
MAX_TOP = 64
"""Alternatives that one sampling step can report (`TK_MAX_TOP`)."""

Bytes = bytes | bytearray | memoryview


class Slots(Protocol):
    """Numbers in a kernel's memory, written in place."""

    def __setitem__(self, where: slice, numbers: list[int], /) -> None: ...


class Kernel(Protocol):
    """A memory, and the kernels that work in it."""

    def alloc(self, nbytes: int, what: str) -> int:
        """Address of `nbytes` zeroed bytes; MemoryLimitError naming `what` without room."""

    def free(self, address: int) -> None:
        """Give memory from `alloc` back."""

    def write(self, address: int, data: Bytes) -> None:
        """Copy bytes in."""

    def read(self, address: int, nbytes: int) -> bytes:
        """Copy bytes out."""

    def int32s(self, address: int, count: int) -> Slots:
        """Memory as so many int32 numbers, until it is given back: quicker than `write` for few."""

    def call(self, name: str, *args: int) -> int:
        """Run the kernel `tk_NAME`."""


class Allocating:
    """Memory by the kernels `tk_alloc` and `tk_free`, for whatever can call kernels."""

    call: Callable[..., int]
    largest: int
    """What an argument may be: where it is handed over, a larger one would lose its upper bits."""

    def alloc(self, nbytes: int, what: str) -> int:
        if nbytes > self.largest:
            raise MemoryLimitError(
                f"no memory for {what}: {nbytes:,} bytes are needed, and at most {self.largest:,} "
                "can be asked for here"
            )
        address = self.call("alloc", nbytes)
        if address == 0:
            raise MemoryLimitError(f"no memory for {what}: {nbytes:,} bytes are needed")
        return address

    def free(self, address: int) -> None:
        self.call("free", address)


def too_large(name: str, argument: int) -> MemoryLimitError:
    """What to raise for an argument that a kernel would be given without its upper bits."""
    return MemoryLimitError(
        f"the kernel {name!r} is asked for {argument:,}, which is more than this machine can count"
    )


class CKernel(Allocating):
    """The kernels in a shared library, through ctypes."""

    largest = sys.maxsize  # 2**31 - 1 in a page
    _smallest = -sys.maxsize - 1

    def __init__(self, path: Path | str) -> None:
        try:
            self._library = ctypes.CDLL(str(path))
        except OSError as error:
            raise ThimbleError(f"the kernels at {path} cannot be loaded: {error}") from error
        self._functions: dict[str, ctypes._NamedFuncPointer] = {}
        found = self.call("abi")
        if found != ABI_VERSION:
            raise ThimbleError(f"the kernels at {path} are of version {found}, not {ABI_VERSION}")

    def call(self, name: str, *args: int) -> int:
        function = self._functions.get(name)
        if function is None:
            function = getattr(self._library, "tk_" + name)
            function.argtypes = [ctypes.c_ssize_t] * len(args)
            function.restype = ctypes.c_ssize_t
            self._functions[name] = function
        # Two calls of C take less than a loop, and this is done for every token.
        if args and (max(args) > self.largest or min(args) < self._smallest):
            raise too_large(name, max(args, key=abs))
        result: int = function(*args)
        return result

    def write(self, address: int, data: Bytes) -> None:
        if isinstance(data, bytes):
            ctypes.memmove(address, data, len(data))
            return
        view = memoryview(data).cast("B")
        target = (ctypes.c_char * view.nbytes).from_address(address)
        memoryview(target).cast("B")[:] = view

    def read(self, address: int, nbytes: int) -> bytes:
        return ctypes.string_at(address, nbytes)

    def int32s(self, address: int, count: int) -> Slots:
        return (ctypes.c_int32 * count).from_address(address)


class Scratch:
    """Kernel memory that frees itself when closed or forgotten."""

    def __init__(self, kernel: Kernel, nbytes: int, what: str) -> None:
        self.kernel = kernel
        self.nbytes = nbytes
        self.address = kernel.alloc(nbytes, what)

    def close(self) -> None:
        address, self.address = self.address, 0
        if address:
            self.kernel.free(address)

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            self.close()

    def write(self, data: Bytes, offset: int = 0) -> None:
        self.kernel.write(self.address + offset, data)

    def floats(self, count: int, offset: int = 0) -> array[float]:
        """`count` float32 numbers, copied out."""
        return array("f", self.kernel.read(self.address + offset, 4 * count))


SUFFIXES = {"darwin": ".dylib", "win32": ".dll"}
"""How a shared library is called where it is not `.so`."""


SUFFIX = SUFFIXES.get(sys.platform, ".so")
VARIANTS = {"base": f"_kernels{SUFFIX}", "relaxed": "_kernels_relaxed.wasm"}
"""Compilations of the kernels that give the same bits: for every machine of a target, and with
WebAssembly's relaxed SIMD."""


def library_path(variant: str = "base") -> Path:
    """Where the kernels' shared library stands: beside this file."""
    return Path(__file__).with_name(VARIANTS[variant])


_variant = "base"


def choose_variant(variant: str) -> None:
    """Take this compilation of the kernels from now on; OptionError where there is none."""
    global _variant
    if variant not in VARIANTS:
        raise OptionError(f"there are no kernels {variant!r}; there are {', '.join(VARIANTS)}")
    _variant = variant


def default_kernel() -> Kernel:
    """The kernels that everything uses unless told otherwise."""
    return _open(_variant)


@functools.cache
def _open(variant: str) -> Kernel:
    path = library_path(variant)
    if not path.exists():
        raise ThimbleError(
            f"there are no kernels at {path}: install the package, or run `make setup`"
        )
    return CKernel(path)
