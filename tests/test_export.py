"""`thimble export`: a folder for any static host, whole or not at all, the same every time."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import brotli
import pytest

from tests.command_line import Capture, run_failing, run_json
from tests.test_server import write_site
from tests.tiny_models import SPECS, write
from thimble.cli import main
from thimble.hosting import export, front_end, precache

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A made-up built site; two models are in it."""
    folder = write_site(tmp_path / "built")
    listed = json.loads((folder / "build.json").read_text())
    first = listed["models"][0]
    listed["models"].append({**first, "name": "tiny", "file": "assets/tiny.0badcafe.gguf"})
    del listed["models"][1]["default"]
    (folder / "assets" / "tiny.0badcafe.gguf").write_bytes(b"GGUF" * 300)
    (folder / "build.json").write_text(json.dumps(listed))
    return folder


def do(source: Path, folder: Path, *options: str) -> None:
    assert main(["export", str(folder), "--site", str(source), *options]) == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def siblings(folder: Path) -> list[str]:
    """What lies beside the folder that nobody asked for."""
    return [path.name for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_the_folder_has_the_site_the_page_and_what_hosts_look_for(
    source: Path, tmp_path: Path
) -> None:
    do(source, tmp_path / "out")
    found, built = contents(tmp_path / "out"), contents(source)
    # models.json the server makes; here it is a file.
    assert {name: found[name] for name in built} == built
    expected = {"index.html", "404.html", ".nojekyll", "_headers", "models.json", export.MARKER}
    assert expected <= set(found)
    assert json.loads(found["models.json"])["models"][0]["url"] == "assets/story.1a2b3c4d.gguf"


def test_the_page_is_the_server_s_with_its_policy_inside(source: Path, tmp_path: Path) -> None:
    do(source, tmp_path / "out")
    html = (tmp_path / "out" / "index.html").read_text()
    policy = said_policy(html)
    assert "default-src 'none'" in policy and "script-src 'self' 'wasm-unsafe-eval'" in policy
    assert "frame-ancestors" not in policy  # browsers refuse it there
    frame = said_policy((tmp_path / "out" / "embed" / "story" / "index.html").read_text())
    assert frame.endswith("form-action 'none'") and "data:" in frame
    assert html.index("http-equiv") < html.index("<link") < html.index("<script")
    assert "writes in your browser" in html
    links = re.findall(r'(?:href|src)="([^"]*)"', html)
    assert links and not [link for link in links if link.startswith(("/", "http"))]


def said_policy(html: str) -> str:
    """The content policy that stands in a page."""
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
    return str(policy)


def test_hosts_that_set_headers_are_told_the_server_s(source: Path, tmp_path: Path) -> None:
    do(source, tmp_path / "out")
    rules = (tmp_path / "out" / "_headers").read_text()
    assets = rules.partition("/assets/*\n")[2]
    assert "Cache-Control: public, max-age=31536000, immutable" in assets
    assert "Cross-Origin-Embedder-Policy: require-corp" in assets
    page = rules.partition("/index.html\n")[2].partition("\n/")[0]
    assert "Cache-Control: no-cache" in page and "frame-ancestors 'none'" in page


def test_packed_copies_are_what_they_are_copies_of(source: Path, tmp_path: Path) -> None:
    do(source, tmp_path / "out")
    found = contents(tmp_path / "out")
    for name in ("index.html", "build.json", "assets/page.1a2b3c4d.js"):
        if len(found[name]) >= export.PACKED_FROM:
            assert brotli.decompress(found[f"{name}.br"]) == found[name]
            assert gzip.decompress(found[f"{name}.gz"]) == found[name]
    assert "index.html.br" in found
    assert "assets/story.1a2b3c4d.gguf.gz" not in found


def test_the_same_input_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        do(source, tmp_path / name, "--base-url", "https://example.org/thimble/")
        time.sleep(0.01)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_a_base_url_without_a_slash_is_one_with_it(source: Path, tmp_path: Path) -> None:
    do(source, tmp_path / "with", "--base-url", "https://example.org/thimble/")
    do(source, tmp_path / "without", "--base-url", "https://example.org/thimble")
    assert contents(tmp_path / "with") == contents(tmp_path / "without")
    html = (tmp_path / "with" / "404.html").read_text()
    assert 'href="https://example.org/thimble/"' in html
    html = (tmp_path / "with" / "index.html").read_text()
    assert '<link rel="canonical" href="https://example.org/thimble/">' in html


@pytest.mark.parametrize(
    "url",
    ["example.org", "/thimble/", "ftp://example.org/", "https://", "https://a.org/?x=1",
     "https://a.org/#x", "https://me:secret@a.org/", " https://a.org/", "https://[::1/"],
)  # fmt: skip
def test_a_base_url_that_is_none_is_named(
    source: Path, tmp_path: Path, url: str, capsys: Capture
) -> None:
    out = tmp_path / "out"
    line = run_failing(capsys, 2, "export", str(out), "--site", str(source), "--base-url", url)
    assert repr(url) in line and "https://example.org/thimble/" in line
    assert not out.exists()


def test_only_the_named_models_are_there_the_first_one_as_the_default(
    source: Path, tmp_path: Path
) -> None:
    do(source, tmp_path / "out", "--models", "tiny")
    found = contents(tmp_path / "out")
    [model] = json.loads(found["build.json"])["models"]
    assert (model["name"], model["default"]) == ("tiny", True)
    assert [name for name in found if name.endswith(".gguf")] == [model["file"]]
    assert json.loads(found["build.json"])["build"] != "a" * 64  # caches tell builds apart by it
    do(source, tmp_path / "all", "--models", "story,tiny")
    assert json.loads((tmp_path / "all" / "build.json").read_text())["build"] == "a" * 64


def test_an_unknown_model_is_named_with_those_that_there_are(
    source: Path, tmp_path: Path, capsys: Capture
) -> None:
    arguments = ("export", str(tmp_path / "out"), "--site", str(source), "--models")
    line = run_failing(capsys, 2, *arguments, "tiny,zebra,yak")
    assert "'zebra', 'yak'; there are story, tiny" in line
    assert "'tiny,,'" in run_failing(capsys, 2, *arguments, "tiny,,")
    assert not (tmp_path / "out").exists()
    assert not siblings(tmp_path / "out")


def test_one_s_own_models_are_exported_too(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    data = write(folder / "my model.gguf", SPECS["q8_0"]).read_bytes()
    out = tmp_path / "out"
    do(source, out, "--own-models", str(folder), "--models", "my model,story")
    models = json.loads((out / "build.json").read_text())["models"]
    assert [model["name"] for model in models] == ["my model", "story"]
    assert models[0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert models[0]["file"].startswith("assets/my-model.")
    assert (out / models[0]["file"]).read_bytes() == data


def test_what_works_offline_is_listed_as_it_was_exported(site: Path, tmp_path: Path) -> None:
    """With models of one's own, so that `build.json` is another than the site's."""
    (tmp_path / "own").mkdir()
    write(tmp_path / "own" / "mine.gguf", SPECS["q8_0"])
    lists = []
    for name, url in (("one", "https://example.org/"), ("two", "https://example.com/")):
        do(site, tmp_path / name, "--own-models", str(tmp_path / "own"), "--base-url", url)
        found = contents(tmp_path / name)
        listed = precache.read(found[precache.NAME])
        assert listed["build"] == json.loads(found["build.json"])["build"]
        for entry in listed["entries"]:
            url = entry["url"]
            data = found[precache.file_of(url) if url.endswith("/") else url]
            if entry["revision"]:
                assert entry["revision"] == hashlib.sha256(data).hexdigest()[:16], entry
            assert entry["integrity"] == precache.integrity(data), entry
        lists.append(listed)
    assert len(lists[0]["entries"]) > 20
    # The page names its address, so it is another version for whoever keeps it.
    assert lists[0]["entries"] != lists[1]["entries"]


def test_the_report_counts_what_is_there(source: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    report = run_json(capsys, "export", str(out), "--site", str(source), "--json")
    found = contents(out)
    del found[export.MARKER]
    assert report["files"] == len(found) + 1
    assert report["models"] == ["story", "tiny"]
    own = report["parts"]["pages and scripts"]
    plain = {
        name: data
        for name, data in found.items()
        if not name.endswith((".br", ".gz", ".gguf")) and "pyodide" not in name
    }
    assert own["bytes"] == sum(map(len, plain.values())) + (out / export.MARKER).stat().st_size
    do(source, out)
    printed = capsys.readouterr().out
    assert f"{own['bytes']:,}" in printed and "model tiny" in printed


def test_the_marker_lists_every_file_with_its_digest(source: Path, tmp_path: Path) -> None:
    do(source, tmp_path / "out")
    found = contents(tmp_path / "out")
    listed = json.loads(found.pop(export.MARKER))["files"]
    assert listed == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in found.items()
    }


def test_a_folder_with_something_else_in_it_is_left_alone(
    source: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    line = run_failing(capsys, 2, "export", str(out), "--site", str(source))
    assert "not empty" in line and "'thesis.txt'" in line and "--force" in line
    assert contents(out) == {"thesis.txt": b"years of work"}
    do(source, out, "--force")
    assert "thesis.txt" not in contents(out)
    assert "index.html" in contents(out)


def test_an_earlier_export_is_replaced_whole(source: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is no obstacle either
    do(source, out)
    do(source, out, "--models", "tiny")
    assert "assets/story.1a2b3c4d.gguf" not in contents(out)
    (out / "CNAME").write_text("example.org")
    capsys.readouterr()
    line = run_failing(capsys, 2, "export", str(out), "--site", str(source))
    assert "'CNAME'" in line


def test_a_folder_that_is_read_is_not_written(
    source: Path, tmp_path: Path, capsys: Capture
) -> None:
    for out in (source, source / "below", source.parent):
        line = run_failing(capsys, 2, "export", str(out), "--site", str(source), "--force")
        assert "overlaps" in line
    file = tmp_path / "file"
    file.write_text("x")
    line = run_failing(capsys, 2, "export", str(file), "--site", str(source))
    assert "is a file" in line


def test_an_export_that_fails_half_way_leaves_the_folder_as_it_was(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    out = tmp_path / "out"
    do(source, out)
    before = contents(out)
    written: list[Path] = []
    original = Path.write_bytes

    def write_bytes(path: Path, data: bytes) -> int:
        if len(written) == 5:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        return original(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert main(["export", str(out), "--site", str(source), "--models", "tiny"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert len(written) == 5
    assert contents(out) == before
    assert not siblings(out)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_export_leaves_the_folder_as_it_was_and_the_next_one_cleans_up(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    do(source, out)
    before = contents(out)
    # Stops for ever in the middle of writing, and says so.
    script = (
        "import sys, time, pathlib\n"
        "from thimble.hosting import export\n"
        "from thimble.cli import main\n"
        "export._write_marker = lambda *_: (print('here', flush=True), time.sleep(600))\n"
        f"main(['export', {str(out)!r}, '--site', {str(source)!r}, '--models', 'tiny'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert contents(out) == before
    assert siblings(out)
    do(source, out)
    assert contents(out) == before
    assert not siblings(out)


def test_a_site_that_is_built_anew_meanwhile_is_not_mixed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    pages = export._pages

    def rebuild(*arguments: object) -> dict[str, bytes]:
        listed = json.loads((source / "build.json").read_text())
        (source / "build.json").write_text(json.dumps({**listed, "build": "b" * 64}))
        return pages(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(export, "_pages", rebuild)
    line = run_failing(capsys, 1, "export", str(tmp_path / "out"), "--site", str(source))
    assert "built anew" in line
    assert not (tmp_path / "out").exists()


def test_without_a_built_site_it_says_what_to_run(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("export", str(tmp_path / "out"))
    none = tmp_path / "none"
    assert "make site" in run_failing(capsys, 1, *arguments, "--site", str(none))
    monkeypatch.setattr(front_end, "CHECKOUT", none)
    assert "without the page" in run_failing(capsys, 1, *arguments)


def test_an_installed_wheel_exports_what_the_checkout_does(
    installed: Path, site: Path, tmp_path: Path
) -> None:
    url = "https://example.org/thimble"
    command = [str(installed), "export", str(tmp_path / "wheel"), "--base-url", url, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["parts"]["Python and engine"]["bytes"] > 10_000_000
    do(site, tmp_path / "checkout", "--base-url", url)
    marks = [(tmp_path / name / export.MARKER).read_text() for name in ("wheel", "checkout")]
    assert marks[0] == marks[1]
