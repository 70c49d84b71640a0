"""The site that the bench measures: the built one, with the bench's models, pages and peers in it.

    python -m bench.site PORT       serves it, and keeps count of what was asked for

Peers' files lie beside ours and are served by the same application: same compression, same caching.
Only two things differ from the product's server: pages are cross-origin isolated, since threads
need that, unless their address says `isolated=0`; and the bench's own pages carry no content
security policy, since peers start workers from blobs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import build_bytecode
import build_kernels
from bench import models, onnx_models
from server import create_app
from tools import build_site, compress, pyodide_core, setup_env
from tools.fingerprint import BUILD, ROOT, digest_file, files_below, fingerprint, is_fresh, remember

HERE = Path(__file__).resolve().parent
FOLDER = BUILD / "bench"
SITE = FOLDER / "site"
MODELS = FOLDER / "models"
PAGES = ("runner", "start-thimble", "start-wllama", "start-pyodide")
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<link rel="icon" href="data:,">
<script type="module" src="/assets/bench/{name}.js"></script>
</html>
"""


class BenchError(Exception):
    """The bench cannot go on; the message says why."""


def install_peers() -> None:
    """The peers' packages, pinned by bench/package-lock.json."""
    stamp = HERE / "node_modules" / ".installed"
    value = fingerprint([HERE / "package.json", HERE / "package-lock.json"])
    if is_fresh(stamp, value):
        return
    print("bench: peers from bench/package-lock.json", flush=True)
    npm = setup_env._system_npm() or setup_env._packaged_npm()
    setup_env.run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        quiet=True,
        cwd=HERE,
    )
    remember(stamp, value)


def peer_version(package: str) -> str:
    """The version of an npm package that is measured."""
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{package}"]["version"])


def build_bundles() -> Path:
    """The bench's pages, the peers' files, Pyodide as npm has it and the probe, compressed too."""
    made, stamp = FOLDER / "bundles", FOLDER / "bundles.inputs"
    sources = [HERE / "build.mjs", HERE / "tsconfig.json", HERE / "package-lock.json"]
    sources += [ROOT / "web" / "package-lock.json", Path(__file__)]
    value = fingerprint(sources + files_below(HERE / "pages", HERE / "kernels"))
    if is_fresh(stamp, value):
        return made
    node = build_bytecode.find_node()
    if node is None:
        raise BenchError("Node was not found: run `make setup`")
    shutil.rmtree(made, ignore_errors=True)
    ran = subprocess.run([node, "build.mjs", str(made)], cwd=HERE)
    if ran.returncode:
        raise BenchError("esbuild found errors in bench/pages (see above)")
    build_probe("wasm", made / "probe.wasm")
    (made / "pyodide").mkdir()
    for name in (*pyodide_core.CORE, "python_stdlib.zip", "pyodide-lock.json"):
        shutil.copyfile(ROOT / "web" / "node_modules" / "pyodide" / name, made / "pyodide" / name)
    compress.compress_tree(made)
    remember(stamp, value)
    return made


PROBE_EXPORTS = (
    "probe_buffer", "probe_read", "probe_products", "probe_products_a_round", "probe_floats",
    "probe_floats_a_round",
)  # fmt: skip


def build_probe(target_name: str, made: Path) -> Path:
    """Compile kernels/probe.c as the product's kernels are compiled."""
    target = build_kernels.target(target_name)
    source, flags = HERE / "kernels" / "probe.c", target.variants[0].flags
    compiler = ("cc", "-target", target.zig, *flags, *build_kernels.COMMON_FLAGS)
    made.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_wasm:
        build_kernels._zig(*compiler, "-shared", "-o", str(made), str(source))
        return made
    # No position-independent code: this one has a memory of its own.
    compiler = tuple(flag for flag in compiler if flag != "-fPIC")
    middle = made.with_suffix(".o")
    build_kernels._zig(*compiler, "-fno-builtin", "-c", str(source), "-o", str(middle))
    exports = [f"--export={name}" for name in PROBE_EXPORTS]
    build_kernels._zig(
        "wasm-ld", "--no-entry", "--strip-all", *exports, str(middle), "-o", str(made)
    )
    middle.unlink()
    return made


def assemble(
    wanted: list[tuple[models.Shape, models.Encoding]],
    files: Sequence[tuple[Path, int]] = (),
) -> dict[str, Any]:
    """Put the site together; returns its `build.json`. `files` are further models, with how many
    parameters they have, that transformers.js is not measured with."""
    product = build_site.SITE
    if not (product / "build.json").is_file():
        raise BenchError(f"no built site in {product}: run `make site`")
    install_peers()
    bundles = build_bundles()
    shutil.rmtree(SITE, ignore_errors=True)
    # Links and no copies: a rebuilt product replaces its files and leaves these as they are.
    shutil.copytree(product, SITE, copy_function=_link)
    shutil.copytree(bundles, SITE / "assets" / "bench", copy_function=_link)
    (SITE / "bench").mkdir()
    for name in PAGES:
        (SITE / "bench" / f"{name}.html").write_text(PAGE.format(name=name), encoding="utf-8")
    build: dict[str, Any] = json.loads((SITE / "build.json").read_text(encoding="utf-8"))
    for shape, encoding in wanted:
        path = models.ensure(MODELS, shape, encoding)
        build["models"].append(_list_model(path, shape.parameters))
    build["models"] += [_list_model(path, parameters) for path, parameters in files]
    for shape, encoding in wanted:
        made = onnx_models.ensure(MODELS, shape, encoding)
        shutil.copytree(made, SITE / "assets" / "bench" / made.name, copy_function=_link)
    (SITE / "build.json").unlink()  # a link to the product's own
    for copy in SITE.glob("build.json.*"):
        copy.unlink()
    (SITE / "build.json").write_text(json.dumps(build), encoding="utf-8")
    return build


def _list_model(path: Path, parameters: int) -> dict[str, Any]:
    _link(str(path), str(SITE / "assets" / path.name))
    return {
        "name": path.stem,
        "title": path.stem,
        "license": "MIT",
        "parameters": parameters,
        "bytes": path.stat().st_size,
        "sha256": digest_file(path),
        "default": False,
        "file": f"assets/{path.name}",
    }


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


class Counted:
    """Counts the bytes of every body that is sent, isolates pages, and tells at /bench/log."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.log: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        if path == "/bench/log":
            log, self.log = self.log, []
            await JSONResponse(log)(scope, receive, send)
            return
        entry: dict[str, Any] = {"path": path, "status": 0, "bytes": 0, "coding": "identity"}
        self.log.append(entry)

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if b"isolated=0" not in scope["query_string"]:
                    for name, value in ISOLATED.items():
                        headers[name] = value
                if path.startswith("/bench/"):
                    del headers["Content-Security-Policy"]
                entry["status"] = message["status"]
                entry["coding"] = headers.get("content-encoding", "identity")
            elif message["type"] == "http.response.body":
                entry["bytes"] += len(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, counted)


def app() -> ASGIApp:
    return Counted(create_app(SITE, templates=ROOT / "web" / "templates"))


if __name__ == "__main__":
    uvicorn.run(app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
