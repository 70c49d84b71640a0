"""Kernels in a memory that threads share, driven through JavaScript."""

from __future__ import annotations

from array import array
from typing import Protocol

from ..errors import ThimbleError
from ..kernel import ABI_VERSION, Allocating, Slots, too_large

POOL_FROM = 20 << 20
"""Bytes of a model file from which threads gain more than crossing into their memory costs."""


class JsPool(Protocol):
    """`KernelPool` of `web/src/worker/pool.ts`: kernels in a memory that threads share."""

    def call(self, name: str, *args: int) -> int: ...

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None: ...

    def read(self, address: int, nbytes: int) -> JsBuffer: ...


class PoolKernel(Allocating):
    """That pool as the `Kernel` that models and sessions work with."""

    largest = (1 << 31) - 1

    def __init__(self, pool: JsPool) -> None:
        self._pool = pool
        self.write = pool.write
        found = self.call("abi")
        if found != ABI_VERSION:
            raise ThimbleError(f"the kernels for threads are of version {found}, not {ABI_VERSION}")

    def call(self, name: str, *args: int) -> int:
        for argument in args:
            if not -self.largest - 1 <= argument <= self.largest:
                raise too_large(name, argument)
        return self._pool.call(name, *args)

    def read(self, address: int, nbytes: int) -> bytes:
        return self._pool.read(address, nbytes).to_bytes()

    def int32s(self, address: int, count: int) -> Slots:
        return Elsewhere(self, address)


class Elsewhere:
    """Numbers in a memory that is not Python's own: they are copied there."""

    def __init__(self, kernel: PoolKernel, address: int) -> None:
        self._kernel, self._address = kernel, address

    def __setitem__(self, where: slice, numbers: list[int], /) -> None:
        at = self._address + 4 * (where.start or 0)
        self._kernel.write(at, array("i", numbers).tobytes())


class JsBuffer(Protocol):
    """A Uint8Array as Pyodide hands it over."""

    def to_bytes(self) -> bytes:
        """A copy of the bytes."""
        ...


def bytes_of(data: JsBuffer | bytes) -> bytes:
    """The same as Python's own."""
    return data if isinstance(data, bytes) else data.to_bytes()
