"""What the figures belong to: the machine, the versions, the kernels."""

from __future__ import annotations

import hashlib
import os
import platform
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import build_kernels
from bench.site import peer_version
from tools.fingerprint import BUILD


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe() -> dict[str, Any]:
    """The machine, without anything that names it."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "memory_bytes": memory_bytes(),
    }


def memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def load() -> float | None:
    """How many processes want a core, on average over the last minute."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def versions(build: dict[str, Any], browser: str) -> dict[str, str]:
    return {
        "thimble": str(build["version"]),
        "pyodide": str(build["pyodide_version"]),
        "wllama": peer_version("@wllama/wllama"),
        "transformers.js": peer_version("@huggingface/transformers"),
        "onnxruntime-web": peer_version("onnxruntime-web"),
        "chromium": browser,
        "python": platform.python_version(),
        "playwright": metadata.version("playwright"),
    }


def kernel_hashes() -> dict[str, str]:
    """Of the kernels' sources, and of the libraries in the wheel that the page runs."""
    sources = hashlib.sha256()
    for path in sorted(build_kernels.SOURCES.glob("*.[ch]")):
        sources.update(path.read_bytes())
    hashes = {"sources": sources.hexdigest()}
    for wheel in sorted((BUILD / "wheels").glob("*wasm32.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".so"):
                    hashes[Path(name).name] = hashlib.sha256(archive.read(name)).hexdigest()
    return hashes
