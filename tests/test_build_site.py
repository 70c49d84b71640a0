"""The built site: its layout, its promises about caching and completeness."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import brotli
import pytest

import build_bytecode
from tools import build_wasm_wheel, compress, fingerprint, pyodide_core

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def build(site: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((site / "build.json").read_text(encoding="utf-8"))
    return read


def test_everything_that_build_json_names_is_there(site: Path, build: dict[str, Any]) -> None:
    for name in [*build["assets"].values(), *(model["file"] for model in build["models"])]:
        assert (site / name).is_file(), name
    assert (site / build["pyodide"]).is_dir()
    assert (site / "thimble.js").is_file()
    assert re.fullmatch(r"[0-9a-f]{64}", build["build"])


def test_addresses_are_relative(build: dict[str, Any]) -> None:
    names = [build["pyodide"], *build["assets"].values()]
    names += [model["file"] for model in build["models"]]
    for name in names:
        assert not name.startswith("/"), name
        assert ":" not in name, name


def test_models_carry_their_facts(site: Path, build: dict[str, Any]) -> None:
    for model in build["models"]:
        data = (site / model["file"]).read_bytes()
        assert model["bytes"] == len(data)
        assert model["sha256"] == hashlib.sha256(data).hexdigest()
        assert model["parameters"] > 0
        assert model["license"]
    if build["models"]:
        assert [model["name"] for model in build["models"] if model.get("default")]


def test_immutable_files_are_named_by_what_is_in_them(site: Path) -> None:
    for path in (site / "assets").iterdir():
        assert re.search(r"\.[0-9A-Za-z]{8}(\.|$)", path.name), path.name


def test_copies_are_what_they_are_copies_of(site: Path) -> None:
    copies = [path for path in site.rglob("*") if path.suffix in compress.CODINGS]
    assert copies
    for path in copies:
        data = path.read_bytes()
        plain = brotli.decompress(data) if path.suffix == ".br" else gzip.decompress(data)
        original = path.with_suffix("").read_bytes()
        assert plain == original, path.name
        assert len(data) <= compress.WORTH * len(original)


def test_every_large_text_has_copies(site: Path) -> None:
    for path in site.rglob("*"):
        if path.suffix in (".js", ".mjs", ".css", ".wasm") and path.stat().st_size >= 1024:
            for suffix in compress.CODINGS:
                assert path.with_name(path.name + suffix).is_file(), path.name


def test_the_lock_file_lists_only_what_we_ship(site: Path, build: dict[str, Any]) -> None:
    lock = json.loads((site / build["lock"]).read_text(encoding="utf-8"))
    assert "thimble-lm" in lock["packages"]
    assert ("numpy" in lock["packages"]) == build["numpy"]
    for package in lock["packages"].values():
        wheel = site / build["pyodide"] / package["file_name"]
        assert hashlib.sha256(wheel.read_bytes()).hexdigest() == package["sha256"]


def test_the_progress_bar_knows_pyodide_s_size(site: Path, build: dict[str, Any]) -> None:
    fetched = [site / build["pyodide"] / name for name in pyodide_core.CORE]
    fetched += [site / build[name] for name in ("engine", "stdlib", "lock")]
    assert build["pyodide_bytes"] == sum(path.stat().st_size for path in fetched)


def test_another_engine_leaves_pyodide_s_files_as_they_are(tmp_path: Path) -> None:
    """A release of ours must not send every visitor Pyodide again."""
    wheel = build_wasm_wheel.wasm_wheel()
    placed = []
    for name, more in (("before", b""), ("after", b"# a change\n")):
        assets, changed = tmp_path / name, tmp_path / f"{name}.wheel" / wheel.name
        assets.mkdir()
        changed.parent.mkdir()
        changed.write_bytes(wheel.read_bytes())
        with zipfile.ZipFile(changed, "a") as archive:
            archive.writestr("thimble/change.pyc", more)
        made = pyodide_core.place(assets, changed, None)
        placed.append([path.relative_to(assets) for path in (made.folder, made.library)])
        placed.append([path.relative_to(assets) for path in (made.engine, made.lock)])
        placed.append([made.stdlib.relative_to(assets)])
    assert placed[0] == placed[3]
    assert not set(placed[1]) & set(placed[4])
    assert placed[2] == placed[5]


def test_pyodide_loads_the_engine_from_the_site(site: Path, build: dict[str, Any]) -> None:
    """Under Node, by the lock file: the wheel is installed, its bytecode used, its kernels run."""
    folder = site / build["pyodide"]
    options = {
        "indexURL": f"{folder}/",
        "stdLibURL": str(site / build["stdlib"]),
        "lockFileURL": str(site / build["lock"]),
        "packageBaseUrl": f"{folder}/",
        "packages": ["thimble-lm"],
    }
    script = f"""
        const {{ loadPyodide }} = await import({json.dumps((folder / "pyodide.mjs").as_uri())});
        const pyodide = await loadPyodide({json.dumps(options)});
        console.log("answer:" + pyodide.runPython(`
            import json, thimble, thimble.gguf
            from thimble.kernel import default_kernel
            kernel = default_kernel()
            json.dumps([thimble.__version__, thimble.gguf.__file__, kernel.call("abi")])
        `));
        process.exit(0);
    """
    node = build_bytecode.find_node()
    assert node is not None
    command = [node, "--input-type=module", "-e", script]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    # Node prints the line that threw, and Pyodide is one line of a megabyte.
    assert ran.returncode == 0, ran.stderr[-2000:]
    version, loaded, abi = json.loads(ran.stdout.split("answer:")[1])
    assert version == build["version"]
    assert loaded.endswith("gguf.pyc")
    assert abi >= 1


def test_a_second_build_does_nothing(site: Path) -> None:
    before = (site / "build.json").stat()
    command = [sys.executable, "-m", "tools.build_site", "--quick"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    assert (site / "build.json").stat().st_mtime_ns == before.st_mtime_ns


def test_the_same_inputs_give_the_same_site(site: Path, build: dict[str, Any]) -> None:
    before = {path.relative_to(site): path.read_bytes() for path in _files(site)}
    command = [sys.executable, "-m", "tools.build_site", "--quick", "--force"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert {path.relative_to(site): path.read_bytes() for path in _files(site)} == before
    assert "first visit" in ran.stdout


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_mirror_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no-such-folder"
    command = [sys.executable, "-m", "tools.build_site", "--pyodide-mirror", str(missing)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert str(missing) in ran.stderr


def test_fingerprints_follow_contents_and_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("x")
    assert fingerprint.fingerprint([first]) != fingerprint.fingerprint([second])
    before = fingerprint.fingerprint([first])
    first.touch()
    assert fingerprint.fingerprint([first]) == before
    first.write_text("y")
    assert fingerprint.fingerprint([first]) != before


def test_the_licences_of_all_that_is_brought_are_told(site: Path) -> None:
    """By the bundles' own source maps: every package that is in one is named, with its licence."""
    said = (site / "THIRD-PARTY.txt").read_text(encoding="utf-8")
    bundled = set()
    for path in site.rglob("*.js.map"):
        if "pyodide" in path.as_posix():
            continue
        for source in json.loads(path.read_text(encoding="utf-8"))["sources"]:
            if found := re.search(r"node_modules/((?:@[^/]+/)?[^/]+)/", source):
                bundled.add(found[1])
    assert {"lit-html", "comlink", "@noble/hashes", "uplot"} <= bundled
    for name in bundled:
        assert re.search(rf"^{re.escape(name)} [\d.]+ \(", said, re.MULTILINE), name
    for name in ("Pyodide", "CPython", "NumPy"):
        assert re.search(rf"^{name} [\d.]+ \(", said, re.MULTILINE), name
    assert "Mozilla Public License Version 2.0" in said
    assert "THIRD-PARTY.txt" in (ROOT / "web" / "templates" / "page.html").read_text("utf-8")
