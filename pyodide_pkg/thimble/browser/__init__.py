"""The one part of the package that knows it runs in a page."""

from __future__ import annotations

from .engine import Engine, Open
from .pool import PoolKernel

__all__ = ["Engine", "Open", "PoolKernel"]
