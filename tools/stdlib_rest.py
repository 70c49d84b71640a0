"""The part of the library that a visitor downloads only when something asks for it.

Travels in the page's first archive of the library as `_stdlib_rest`, together with a generated
module of names; knows nothing of browsers. The worker sets `fetch`, which puts the whole archive in
the first one's place and returns when it is there.
"""

from __future__ import annotations

import sys
import zipimport
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from _stdlib_names import NAMES  # type: ignore[import-not-found]  # tools/stdlib.py writes it

ARCHIVE = __file__.rpartition("/")[0]
fetch: Callable[[str], object] | None = None
"""Not set in a memory snapshot: a function of JavaScript would not survive it."""


class RestFinder:
    """The last to be asked for a module: by then nobody else has it."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's place in the whole library, which is fetched for it; None for others."""
        global fetch
        if name not in NAMES:
            return None
        if fetch is not None:
            try:
                fetch(ARCHIVE)
            except Exception as error:
                words = f"{name} is in the part of the library that is fetched when asked for"
                raise ImportError(f"{words}, and it did not come: {error}", name=name) from error
            fetch = None
            look_again()
        # A part of a package that lies elsewhere, as the engine does, is beside the others here.
        package = name.rpartition(".")[0].replace(".", "/")
        places = None if path is None else [*path, f"{ARCHIVE}/{package}"]
        return PathFinder.find_spec(name, places, target)


def look_again() -> None:
    """Forget what the archive held: another one has its name now, or none at all."""
    # Not `importlib.invalidate_caches`: it would import something, maybe from what is not there.
    for place, importer in list(sys.path_importer_cache.items()):
        if importer is None:  # a folder that the archive before did not have
            del sys.path_importer_cache[place]
        elif isinstance(importer, zipimport.zipimporter):
            importer.invalidate_caches()


# Before Pyodide's finder of last resort, which says what is missing.
sys.meta_path.insert(sys.meta_path.index(PathFinder) + 1, RestFinder)
