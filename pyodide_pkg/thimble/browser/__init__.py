"""The one part of the package that knows it runs in a page."""

from __future__ import annotations

from .engine import Engine, SessionEntry
from .pool import PoolKernel

__all__ = ["Engine", "PoolKernel", "SessionEntry"]
