"""The PEP 517 and PEP 660 hooks: how an installer asks for wheels of Thimble.

One backend makes the native wheel and the WebAssembly one. Under `pyodide build` it makes the
latter by itself; elsewhere the setting `target` chooses (`pip wheel -C target=wasm pyodide_pkg`).

The native wheel brings the front end along where it has been built: the site, the page's words and
the application (`-C front-end=no` leaves it out). The page's own wheel never does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import build_archive
import build_bytecode
import build_kernels
from build_archive import Entry

Settings = Mapping[str, str | list[str]] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    return []


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    return []


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    return []


def build_wheel(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    target = _target(config_settings)
    content = build_archive.package_files()
    if target.is_wasm:
        content += build_bytecode.compile_entries(content)
    elif _with_front_end(config_settings):
        content += build_archive.front_end_files()
    with tempfile.TemporaryDirectory() as scratch:
        for library in build_kernels.build(target, Path(scratch)):
            content.append(Entry(f"thimble/{library.name}", library.read_bytes(), executable=True))
    return build_archive.write_wheel(Path(wheel_directory), target.wheel_tag, content)


def build_editable(
    wheel_directory: str,
    config_settings: Settings = None,
    metadata_directory: str | None = None,
) -> str:
    """A wheel that points here: edited sources are live, the kernels are compiled in place."""
    target = _target(config_settings)
    build_kernels.build(target, build_archive.PACKAGE)
    pointer = Entry("thimble_lm.pth", f"{build_archive.HERE}\n".encode())
    return build_archive.write_wheel(Path(wheel_directory), target.wheel_tag, [pointer])


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    front_end = _with_front_end(config_settings)
    return build_archive.write_sdist(Path(sdist_directory), front_end=front_end)


def prepare_metadata_for_build_wheel(
    metadata_directory: str, config_settings: Settings = None
) -> str:
    entries = build_archive.dist_info(_target(config_settings).wheel_tag, pure=False)
    for entry in entries:
        path = Path(metadata_directory) / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.data)
    return f"{build_archive.stem()}.dist-info"


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def _with_front_end(config_settings: Settings) -> bool:
    value = (config_settings or {}).get("front-end", "yes")
    if value not in ("yes", "no"):
        raise build_kernels.BuildError(f"front-end is yes or no, not {value!r}")
    return value == "yes"


def _target(config_settings: Settings) -> build_kernels.Target:
    value = (config_settings or {}).get("target")
    if isinstance(value, list):
        raise build_kernels.BuildError(f"one build target at a time, not {value!r}")
    return build_kernels.target(value)
