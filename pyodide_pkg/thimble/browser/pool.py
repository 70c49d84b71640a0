"""Kernels in a memory that threads share, driven through JavaScript."""

from __future__ import annotations

from typing import Protocol

from ..errors import ThimbleError
from ..kernel import ABI_VERSION, Allocating, too_large

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


class JsBuffer(Protocol):
    """A Uint8Array as Pyodide hands it over."""

    def to_bytes(self) -> bytes:
        """A copy of the bytes."""
        ...
