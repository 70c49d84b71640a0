"""Wheels: what the backend puts in them, natively and for the page, and that it repeats itself."""

from __future__ import annotations

import base64
import csv
import ctypes
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import backend
import build_archive
import build_bytecode
import build_kernels
import thimble
from tests.conftest import ROOT
from tools import pyodide_core

pytestmark = pytest.mark.slow

INFO = f"{build_archive.stem()}.dist-info"


def build(folder: Path, target: str) -> Path:
    settings = {"target": target}
    if target == "native":  # the page's wheel has no front end by itself
        settings["front-end"] = "no"
    return folder / backend.build_wheel(str(folder), settings)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return {target: build(folder, target) for target in ("native", "wasm")}


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def library(wheel: Path) -> bytes:
    (name,) = [name for name in contents(wheel) if name.startswith("thimble/_kernels.")]
    return contents(wheel)[name]


def wasm_exports(module: bytes) -> set[str]:
    """The exported functions of a WebAssembly module, as Node reads them."""
    script = (
        "const chunks = []; process.stdin.on('data', (c) => chunks.push(c)).on('end', () => "
        "console.log(JSON.stringify(WebAssembly.Module.exports(new WebAssembly.Module("
        "Buffer.concat(chunks))).filter((e) => e.kind === 'function').map((e) => e.name))))"
    )
    node = build_bytecode.find_node()
    assert node is not None
    ran = subprocess.run([node, "-e", script], input=module, capture_output=True, check=True)
    return set(json.loads(ran.stdout))


def test_wheels_are_named_for_where_they_run(wheels: dict[str, Path]) -> None:
    stem = build_archive.stem()
    assert wheels["native"].name == f"{stem}-{build_kernels.target('native').wheel_tag}.whl"
    assert wheels["wasm"].name == f"{stem}-cp311-abi3-pyemscripten_2026_0_wasm32.whl"


def test_both_wheels_hold_the_same_files_but_the_kernels_and_bytecode(
    wheels: dict[str, Path],
) -> None:
    def sources(wheel: Path) -> dict[str, bytes]:
        return {
            name: data
            for name, data in contents(wheel).items()
            if "_kernels" not in name
            and not name.endswith((".pyc", "/WHEEL", "/RECORD"))
        }  # fmt: skip

    assert sources(wheels["native"]) == sources(wheels["wasm"])
    assert "thimble/__init__.py" in sources(wheels["native"])


def test_only_the_page_has_bytecode_one_for_every_module(wheels: dict[str, Path]) -> None:
    names = set(contents(wheels["wasm"]))
    modules = {name for name in names if name.endswith(".py")}
    expected = {
        f"{folder}/__pycache__/{file[:-3]}.cpython-314.pyc"
        for folder, _, file in (name.rpartition("/") for name in modules)
    }
    assert {name for name in names if name.endswith(".pyc")} == expected
    assert not [name for name in contents(wheels["native"]) if name.endswith(".pyc")]


def test_bytecode_is_never_checked_against_its_source(wheels: dict[str, Path]) -> None:
    for name, data in contents(wheels["wasm"]).items():
        if name.endswith(".pyc"):
            assert int.from_bytes(data[4:8], "little") == 0b01, name  # PEP 552: unchecked hash


def test_both_libraries_export_every_declared_function(wheels: dict[str, Path]) -> None:
    declared = set(build_kernels.exports())
    assert declared
    exported = wasm_exports(library(wheels["wasm"]))
    assert {name for name in exported if name.startswith("tk_")} == declared
    folder = wheels["native"].parent / "unpacked"
    with zipfile.ZipFile(wheels["native"]) as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("thimble/_kernels.")]
        archive.extract(name, folder)
    native = ctypes.CDLL(str(folder / name))
    for function in declared:
        getattr(native, function)


INSTALL = """
const [pyodide, wheel, model] = process.argv.slice(1);
const { loadPyodide } = await import(`file://${pyodide}/pyodide.mjs`);
const python = await loadPyodide({ indexURL: `${pyodide}/` });
const complaints = [];
const messageCallback = (words) => complaints.push(words);
await python.loadPackage(wheel, { messageCallback: () => {}, errorCallback: messageCallback });
python.mountNodeFS("/models", model);
const text = python.runPython(`
import thimble
model = thimble.load("/models/names.gguf")
params = thimble.SamplingParams(max_tokens=8, temperature=0)
"".join(chunk.text for chunk in model.session().generate("A", params))
`);
console.log(JSON.stringify([text, complaints]));
process.exit(0);
"""


def test_a_pyodide_that_knows_no_relaxed_simd_installs_the_wheel(wheels: dict[str, Path]) -> None:
    node = build_bytecode.find_node()
    assert node is not None
    models = ROOT / "web" / "models"
    # Node 20 does not; a newer one installs it either way.
    command = [node, "--input-type=module", "-e", INSTALL]
    command += ["--", str(pyodide_core.NPM), str(wheels["wasm"]), str(models)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    text, complaints = json.loads(ran.stdout.splitlines()[-1])
    params = thimble.SamplingParams(max_tokens=8, temperature=0)
    chunks = thimble.load(models / "names.gguf").session().generate("A", params)
    assert text == "".join(chunk.text for chunk in chunks)
    assert complaints == []


def test_metadata_says_what_pyproject_says(wheels: dict[str, Path]) -> None:
    table = build_archive.project()
    for wheel in wheels.values():
        fields = Parser().parsestr(contents(wheel)[f"{INFO}/METADATA"].decode())
        assert fields["Name"] == table["name"]
        assert fields["Version"] == table["version"]
        assert fields["Requires-Python"] == table["requires-python"]
        assert fields.get_payload() == (build_archive.HERE / "README.md").read_text()
        assert "thimble/py.typed" in contents(wheel)
        assert set(fields.get_all("Provides-Extra", [])) == set(table["optional-dependencies"])
        needs = [need for extra in table["optional-dependencies"].values() for need in extra]
        listed = fields.get_all("Requires-Dist", [])
        assert len(listed) == len(needs)
        assert all("extra ==" in need for need in listed)
        tags = Parser().parsestr(contents(wheel)[f"{INFO}/WHEEL"].decode()).get_all("Tag", [])
        assert [f"{build_archive.stem()}-{tag}.whl" for tag in tags] == [wheel.name]


def test_the_record_lists_every_file_with_its_digest(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        files = contents(wheel)
        rows = list(csv.reader(io.StringIO(files[f"{INFO}/RECORD"].decode())))
        assert sorted(name for name, _, _ in rows) == sorted(files)
        for name, digest, size in rows:
            if name != f"{INFO}/RECORD":
                raw = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest())
                assert digest == "sha256=" + raw.rstrip(b"=").decode()
                assert int(size) == len(files[name])


@pytest.mark.parametrize("target", ["native", "wasm"])
def test_the_same_sources_give_the_same_bytes(
    wheels: dict[str, Path], target: str, tmp_path: Path
) -> None:
    assert build(tmp_path, target).read_bytes() == wheels[target].read_bytes()


def test_under_pyodide_build_the_wheel_is_the_page_s(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    """pyodide-build announces itself and puts compilers of its own on the PATH; we use neither."""
    wrappers = tmp_path / "wrappers"
    wrappers.mkdir()
    for name in ("cc", "clang", "wasm-opt"):
        (wrappers / name).write_text("#!/bin/sh\nexit 1\n")
        (wrappers / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{wrappers}{os.pathsep}{os.environ['PATH']}",
        "CC": str(wrappers / "cc"),
        "PYODIDE": "1",
        "PYODIDE_ABI_VERSION": "2026_0",
        "_PYTHON_HOST_PLATFORM": "emscripten_5_0_3_wasm32",
    }
    script = f"import backend; print(backend.build_wheel({str(tmp_path)!r}))"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    made = tmp_path / ran.stdout.strip()
    assert made.name == wheels["wasm"].name
    assert made.read_bytes() == wheels["wasm"].read_bytes()


def test_a_wheel_by_pyodide_build_is_like_ours(wheels: dict[str, Path]) -> None:
    """Compares with what `make pyodide-build` left, where its downloads can be had."""
    found = sorted((build_archive.HERE.parent / "build" / "pyodide-build").glob("*.whl"))
    if not found:
        pytest.skip(
            "no wheel by `make pyodide-build` here (it downloads a cross-build environment)"
        )
    theirs, ours = contents(found[-1]), contents(wheels["wasm"])
    assert {k: v for k, v in theirs.items() if not k.startswith(INFO)} == {
        k: v for k, v in ours.items() if not k.startswith(INFO)
    }


def test_prepared_metadata_is_the_wheel_s(wheels: dict[str, Path], tmp_path: Path) -> None:
    name = backend.prepare_metadata_for_build_wheel(str(tmp_path), {"target": "wasm"})
    assert name == INFO
    for path in (tmp_path / name).rglob("*"):
        if path.is_file():
            assert path.read_bytes() == contents(wheels["wasm"])[
                path.relative_to(tmp_path).as_posix()
            ]  # fmt: skip


def test_the_source_distribution_builds_the_same_native_wheel(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    name = backend.build_sdist(str(tmp_path), {"front-end": "no"})
    with tarfile.open(tmp_path / name) as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / build_archive.stem()
    script = f"import backend; print(backend.build_wheel({str(tmp_path)!r}))"
    # Isolated, with only the unpacked sources on the path: nothing of the checkout helps.
    code = f"import sys; sys.path.insert(0, {str(root)!r}); {script}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    made = tmp_path / ran.stdout.strip()
    assert contents(made) == contents(wheels["native"])


def test_an_unknown_target_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(build_kernels.BuildError, match=r"'amiga'.*wasm.*linux-x86_64"):
        backend.build_wheel(str(tmp_path), {"target": "amiga"})


def test_the_native_wheel_brings_the_front_end(site: Path, wheel: Path) -> None:
    files = contents(wheel)
    build = json.loads(files["thimble/_site/build.json"])
    for name in [
        "thimble.js",
        "THIRD-PARTY.txt",
        *build["assets"].values(),
        *(m["file"] for m in build["models"]),
    ]:
        assert files[f"thimble/_site/{name}"] == (site / name).read_bytes()
    root = build_archive.HERE.parent
    page = root / "web" / "templates" / "page.html"
    assert files["thimble/_templates/page.html"] == page.read_bytes()
    assert not [name for name in files if name.endswith(".gz")]


def test_the_page_s_wheel_has_no_front_end(wheels: dict[str, Path], site: Path) -> None:
    assert build_archive.front_end_files()  # there would be one
    parts = ("thimble/_site/", "thimble/_templates/")
    for wheel in wheels.values():
        assert not [name for name in contents(wheel) if name.startswith(parts)]


def test_a_source_distribution_carries_the_front_end_to_where_a_wheel_takes_it_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    for name in ("build/site/build.json", "build/site/a.js.gz", "web/templates/page.html"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(name)
    monkeypatch.setattr(build_archive, "HERE", checkout / "pyodide_pkg")
    found = build_archive.front_end_files()
    assert [entry.path for entry in found] == [
        "thimble/_site/build.json", "thimble/_templates/page.html",
    ]  # fmt: skip
    for entry in found:
        carried = checkout / "pyodide_pkg" / entry.path.replace("thimble/", "front_end/", 1)
        carried.parent.mkdir(parents=True, exist_ok=True)
        carried.write_bytes(entry.data)
    assert build_archive.front_end_files() == found


def test_an_unknown_word_for_the_front_end_is_named(tmp_path: Path) -> None:
    with pytest.raises(build_kernels.BuildError, match=r"yes or no, not 'perhaps'"):
        backend.build_wheel(str(tmp_path), {"front-end": "perhaps"})
