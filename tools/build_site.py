"""Puts the site together: `build/site/`, a folder that any static host could serve.

    python -m tools.build_site [--pyodide-mirror FOLDER] [--quick] [--force] [--no-offline]

The layout is docs/architecture.md's. The folder is written beside its place and swapped in whole;
the same inputs give the same bytes. Nothing is done when no input has changed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import build_archive
import build_bytecode
import build_kernels
from tools import compress, corpora, models, offline, pyodide_core, size_report, third_party
from tools.build_wasm_wheel import wasm_wheel
from tools.fingerprint import (
    BUILD,
    ROOT,
    digest_bytes,
    digest_file,
    digest_tree,
    files_below,
    fingerprint,
    is_fresh,
    remember,
)

try:
    import fcntl
except ImportError:  # Windows: two builds at once are left to their luck there
    fcntl = None  # type: ignore[assignment]

SITE = BUILD / "site"
STAMP = BUILD / "site.inputs"
WEB = ROOT / "web"

AT_ROOT = ("favicon.ico", "robots.txt")
"""Static files that are asked for by a name that we do not choose."""


PUBLISHED = ("claims", "schemas")
"""Folders of web/ that are part of the site as they are."""

FORMER = {"ledger": "claims", "schemas/ledger.schema.json": "schemas/claims.schema.json"}
"""Addresses of version 0.1 that other places link to, and what lies there now."""


def build_site(
    *, mirror: Path | None, quick: bool = False, force: bool = False, keep: bool = True
) -> Path:
    """Bring `build/site/` up to date; a quick one differs in its compressed copies only.

    Without `keep` browsers keep no version of it, and forget those that they have.
    """
    wheel = wasm_wheel()
    value = _inputs(wheel, mirror, keep)
    enough = [value, f"{value} quick"] if quick else [value]
    if not force and (SITE / "build.json").is_file() and any(is_fresh(STAMP, it) for it in enough):
        return SITE
    # A fixed name: source maps hold paths relative to the folder.
    fresh = BUILD / "site.new"
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "assets").mkdir(parents=True)
    build = {**_fill(fresh, wheel, mirror), "offline": keep}
    _write_json(fresh / "build.json", build)
    offline.write_service_worker(fresh, build, offline=keep)
    compress.compress_tree(fresh, quick=quick)
    _swap_in(fresh)
    remember(STAMP, enough[-1])
    print(size_report.report(SITE))
    return SITE


def _inputs(wheel: Path, mirror: Path | None, keep: bool) -> str:
    sources = [
        WEB / "build.mjs",
        WEB / "style-text.mjs",
        WEB / "package-lock.json",
        WEB / "tsconfig.json",
        wheel,
    ]
    sources += files_below(WEB / "src", WEB / "styles", WEB / "static", WEB / "models")
    sources += files_below(*(WEB / name for name in PUBLISHED), third_party.TEXTS)
    sources += files_below(ROOT / "tools", ROOT / "pyodide_pkg" / "kernels", offline.TEMPLATES)
    sources += [*(ROOT / "pyodide_pkg").glob("*.py"), ROOT / "requirements" / "play.txt"]
    sources += files_below(pyodide_core.DOWNLOADS) if pyodide_core.DOWNLOADS.is_dir() else []
    if mirror is not None:
        sources += list(mirror.glob("numpy-*.whl"))
    return fingerprint(sources, str(mirror is not None), str(keep))


def _fill(site: Path, wheel: Path, mirror: Path | None) -> dict[str, Any]:
    assets = _bundles(site) | _static(site) | _kernels(site)
    assets |= offline.write_manifest(site, assets)
    _published(site)
    third_party.write(site)
    pyodide = pyodide_core.place(site / "assets", wheel, mirror)
    listings = []
    for path, entry in models.listings():
        name = f"assets/{path.stem}.{entry['sha256'][:8]}{path.suffix}"
        shutil.copyfile(path, site / name)
        listings.append({**entry, "file": name})
    texts, sample = corpora.add_to_site(site), corpora.add_sample(site)
    return {
        # The page's words are part of a version too; the server puts them in.
        "build": digest_bytes(f"{digest_tree(site)} {digest_tree(offline.TEMPLATES)}".encode()),
        "version": build_archive.project()["version"],
        "pyodide": f"{pyodide.folder.relative_to(site).as_posix()}/",
        "pyodide_version": pyodide_core.version(),
        # What the worker fetches before the engine runs, unpacked: its progress bar's whole.
        "pyodide_bytes": sum(path.stat().st_size for path in pyodide.needed()),
        "engine": pyodide.engine.relative_to(site).as_posix(),
        "stdlib": pyodide.stdlib.relative_to(site).as_posix(),
        "library": pyodide.library.relative_to(site).as_posix(),
        "lock": pyodide.lock.relative_to(site).as_posix(),
        "numpy": pyodide.numpy,
        "extras": offline.extras(site, pyodide.folder),
        "assets": dict(sorted(assets.items())),
        "models": listings,
        # Texts to train on, fetched when one is chosen.
        "corpora": texts,
        # A text to measure models on.
        "sample": sample,
    }


def _bundles(site: Path) -> dict[str, str]:
    node = build_bytecode.find_node()
    if node is None:
        raise click.ClickException("Node was not found: run `make setup`")
    command = [node, "build.mjs", str(site)]
    ran = subprocess.run(command, cwd=WEB, stdout=subprocess.PIPE, text=True)
    if ran.returncode:
        raise click.ClickException("esbuild found errors in web/ (see above)")
    made: dict[str, str] = json.loads(ran.stdout)
    return made


def _static(site: Path) -> dict[str, str]:
    folder, made = WEB / "static", {}
    for path in files_below(folder) if folder.is_dir() else []:
        name = path.relative_to(folder).as_posix()
        if name in AT_ROOT:
            made[name] = name
        else:
            flat = name.replace("/", "-")
            stem, dot, suffix = flat.rpartition(".")
            made[name] = f"assets/{stem}.{digest_file(path)[:8]}{dot}{suffix}"
        shutil.copyfile(path, site / made[name])
    return made


def _published(site: Path) -> None:
    """What the Claims panel refers to, for whoever checks a report: at addresses that stay."""
    for name in PUBLISHED:
        shutil.copytree(WEB / name, site / name)
    for former, name in FORMER.items():
        copy = shutil.copytree if (WEB / name).is_dir() else shutil.copyfile
        copy(WEB / name, site / former)


def _kernels(site: Path) -> dict[str, str]:
    """The kernels for threads; those for one thread are in the wheel."""
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        made = {}
        for path in build_kernels.build(build_kernels.target("wasm-threads"), Path(scratch)):
            made[path.name] = f"assets/{path.stem}.{digest_file(path)[:8]}{path.suffix}"
            shutil.copyfile(path, site / made[path.name])
        return made


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _swap_in(fresh: Path) -> None:
    """Put the new site in place of the old one: two renames, never a half-written folder."""
    old = BUILD / "site.old"
    shutil.rmtree(old, ignore_errors=True)
    if SITE.exists():
        SITE.rename(old)
    fresh.rename(SITE)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for a build that another process is in the middle of."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "site.lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--pyodide-mirror",
        type=Path,
        default=os.environ.get("THIMBLE_PYODIDE_MIRROR") or None,
        metavar="FOLDER",
        help="take NumPy's WebAssembly wheel from here instead of downloading it",
    )
    parser.add_argument(
        "--quick", action="store_true", help="pack large files less tightly, in a tenth of the time"
    )
    parser.add_argument("--force", action="store_true", help="build even if nothing has changed")
    parser.add_argument(
        "--no-offline",
        action="store_true",
        help="let browsers keep nothing of the site, and forget what they have (docs/offline.md)",
    )
    options = parser.parse_args()
    mirror = Path(options.pyodide_mirror).resolve() if options.pyodide_mirror else None
    if mirror is not None and not mirror.is_dir():
        parser.error(f"--pyodide-mirror: {mirror} is not a folder")
    try:
        keep = not options.no_offline
        with one_at_a_time():
            build_site(mirror=mirror, quick=options.quick, force=options.force, keep=keep)
    except click.ClickException as error:
        print(f"make site: {error.message}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
