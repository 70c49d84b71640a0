"""`thimble serve`: one's own server, from a checkout or from the wheel alone."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

import server
from tests.command_line import Capture, run_failing
from tests.conftest import free_port, wait_for
from tests.test_server import write_site
from tests.tiny_models import SPECS, make, write
from thimble.cli import main, serve
from thimble.errors import OptionError
from thimble.hosting import front_end, models

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models and three files that are none."""
    monkeypatch.setenv("THIMBLE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "own"
    folder.mkdir()
    write(folder / "b.gguf", SPECS["q8_0"])
    write(folder / "a b.gguf", SPECS["f32"])
    data = make(SPECS["f32"])
    (folder / "short.gguf").write_bytes(data[:-1000])
    (folder / "text.gguf").write_bytes(b"Once upon a time")
    zebra = data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0zebra")
    (folder / "zebra.gguf").write_bytes(zebra)
    (folder / "notes.txt").write_text("not looked at")
    return folder


@contextmanager
def serving(command: list[str], tmp_path: Path, path: str = "/healthz") -> Iterator[str]:
    """A server in a process of its own; its address without a slash."""
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=output, stderr=subprocess.STDOUT, cwd=tmp_path
        )
        try:
            wait_for(f"http://127.0.0.1:{port}{path}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def fetch(url: str, **headers: str) -> tuple[Any, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as response:
        return response.headers, response.read()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What Uvicorn is asked to run, which it does not."""
    found: list[tuple[Any, dict[str, Any]]] = []
    fake = SimpleNamespace(run=lambda app, **options: found.append((app, options)))
    monkeypatch.setitem(sys.modules, "uvicorn", fake)
    return found


def test_one_process_runs_the_application(
    tmp_path: Path, calls: list[tuple[Any, dict[str, Any]]]
) -> None:
    site = write_site(tmp_path / "site")
    assert main(["serve", "--host", "0.0.0.0", "--port", "8123", "--site", str(site)]) == 0
    [(app, options)] = calls
    assert (options["host"], options["port"]) == ("0.0.0.0", 8123)
    assert options["access_log"] is False and options["proxy_headers"] is False
    assert "writes in your browser" in TestClient(app).get("/").text


def test_several_workers_make_the_same_application_from_the_environment(
    tmp_path: Path,
    own: Path,
    calls: list[tuple[Any, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = write_site(tmp_path / "site")
    monkeypatch.setenv(serve.SETTINGS, "")
    arguments = ["serve", "--workers", "2", "--site", str(site), "--models", str(own)]
    arguments += ["--allowed-host", "testserver", "--allowed-host", "*.example.org"]
    assert main([*arguments, "--root-path", "/t/", "--forwarded-allow-ips", "10.0.0.1"]) == 0
    [(app, options)] = calls
    assert (app, options["factory"]) == ("thimble.cli.serve:application", True)
    assert (options["workers"], options["root_path"]) == (2, "/t")
    assert (options["proxy_headers"], options["forwarded_allow_ips"]) == (True, "10.0.0.1")
    listed = TestClient(serve.application()).get("/models.json").json()["models"]
    assert [model["name"] for model in listed] == ["a b", "b", "story"]
    client = TestClient(serve.application())
    for host, status in (("a.example.org", 200), ("example.org", 421), ("localhost", 421)):
        assert client.get("/", headers={"Host": host}).status_code == status


def test_own_models_are_listed_first_and_served_by_content(tmp_path: Path, own: Path) -> None:
    site = write_site(tmp_path / "site")
    found, _ = models.read_folder(own)
    client = TestClient(server.create_app(site, own=found))
    build = client.get("/build.json").json()
    assert [model["name"] for model in build["models"]] == ["a b", "b", "story"]
    assert [model.get("default", False) for model in build["models"]] == [True, False, False]
    assert build["build"] != "a" * 64
    data = (own / "a b.gguf").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert build["models"][0]["sha256"] == digest
    assert build["models"][0]["file"] == f"assets/a-b.{digest[:8]}.gguf"
    answer = client.get("/" + build["models"][0]["file"], headers={"Range": "bytes=4-"})
    assert (answer.status_code, answer.content) == (206, data[4:])
    assert "immutable" in answer.headers["cache-control"]
    # Hashed as it was built: what the page says of itself does not change with the models' order.
    assert client.get("/healthz").json()["build"] == build["build"]


def test_models_behind_the_site_s_own_leave_it_the_default(tmp_path: Path, own: Path) -> None:
    found, _ = models.read_folder(own, first=False)
    client = TestClient(server.create_app(write_site(tmp_path / "site"), own=found))
    listed = client.get("/build.json").json()["models"]
    assert [model["name"] for model in listed] == ["story", "a b", "b"]
    assert [model.get("default", False) for model in listed] == [True, False, False]


def test_a_model_of_one_s_own_takes_the_place_of_a_built_one(tmp_path: Path, own: Path) -> None:
    (own / "b.gguf").rename(own / "story.gguf")
    found, _ = models.read_folder(own)
    client = TestClient(server.create_app(write_site(tmp_path / "site"), own=found))
    listed = {model["name"]: model for model in client.get("/models.json").json()["models"]}
    assert list(listed) == ["a b", "story"]
    assert listed["story"]["url"] != "assets/story.1a2b3c4d.gguf"
    assert client.get("/assets/story.1a2b3c4d.gguf").status_code == 404


def test_each_bad_file_is_named_and_the_others_are_served(
    tmp_path: Path, own: Path, calls: list[object], capsys: Capture
) -> None:
    site = write_site(tmp_path / "site")
    assert main(["serve", "--site", str(site), "--models", str(own)]) == 0
    lines = capsys.readouterr().err.splitlines()
    bad = {line.split(": ")[2]: line for line in lines if "left out" in line}
    assert set(bad) == {"short.gguf", "text.gguf", "zebra.gguf"}
    assert "not a GGUF file" in bad["text.gguf"] and "'zebra'" in bad["zebra.gguf"]
    assert re.search(r"byte|end", bad["short.gguf"])
    assert len(calls) == 1


def test_without_a_single_good_file_nothing_is_served(
    tmp_path: Path, own: Path, calls: list[object], capsys: Capture
) -> None:
    arguments = ("serve", "--site", str(write_site(tmp_path / "site")), "--models")
    for name in ("a b.gguf", "b.gguf"):
        (own / name).unlink()
    assert main([*arguments, str(own)]) == 2
    assert f"none of the GGUF files in {own}" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    for folder, words in ((tmp_path / "empty", "no file that ends in .gguf"), (own / "x", "not a")):
        assert words in run_failing(capsys, 2, *arguments, str(folder))
    assert not calls


def test_a_file_is_hashed_once(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = models.read_folder(own)
    hashed: list[str] = []
    original = hashlib.file_digest

    def count(file: Any, name: str) -> Any:
        hashed.append(Path(file.name).name)
        return original(file, name)

    monkeypatch.setattr(hashlib, "file_digest", count)
    assert models.read_folder(own)[0] == first
    assert hashed == []
    write(own / "b.gguf", SPECS["f16"])
    changed, _ = models.read_folder(own)
    assert hashed == ["b.gguf"]
    assert changed[1].listing["sha256"] != first[1].listing["sha256"]
    (tmp_path / "cache" / "digests.json").write_text("nonsense")
    assert models.read_folder(own)[0] == changed  # a broken cache is none


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--port", "70000", "--port is 70000; it must be a whole number from 0 to 65535"),
        ("--workers", "0", "--workers is 0; it must be from 1 to 64"),
        ("--root-path", "thimble", "--root-path is 'thimble'; it must be a path like /thimble"),
        ("--allowed-host", "https://example.org", "the allowed host is 'https://example.org'"),
        ("--allowed-host", "example.org:80", "without scheme, port or path"),
        ("--allowed-host", "*", "the allowed host is '*'; it must be a name like example.org"),
    ],
)
def test_a_value_out_of_its_range_is_named(
    option: str, value: str, words: str, capsys: Capture
) -> None:
    assert words in run_failing(capsys, 2, "serve", option, value)


def test_what_is_missing_is_said(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_end, "CHECKOUT", tmp_path)
    assert "without the page" in run_failing(capsys, 1, "serve")
    (tmp_path / "web" / "templates").mkdir(parents=True)
    assert "make site" in run_failing(capsys, 1, "serve")
    site = write_site(tmp_path / "site")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    line = run_failing(capsys, 1, "serve", "--site", str(site))
    assert "'uvicorn'" in line and "thimble-lm[serve]" in line


@pytest.mark.parametrize("path", ["/t/", "/t/t/"], ids=["taken off", "left on"])
def test_it_works_below_a_proxy_s_path_whether_or_not_the_proxy_takes_it_off(
    tmp_path: Path, path: str
) -> None:
    # Uvicorn puts the prefix before whatever path comes, as Starlette's client does not.
    app = server.create_app(write_site(tmp_path / "site"))
    client = TestClient(app, root_path="/t")
    assert "writes in your browser" in client.get(path).text
    assert client.get(f"{path}thimble.js").headers["content-type"].startswith("text/javascript")
    assert client.get(f"{path}healthz").json()["status"] == "ok"
    lost = client.get(f"{path}nowhere", headers={"Accept": "text/html"})
    assert (lost.status_code, 'href="/t/"' in lost.text) == (404, True)


def test_a_folder_that_vanishes_is_an_option_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="not a folder"):
        models.read_folder(tmp_path / "gone")


def test_the_wheel_alone_serves_the_playground(installed: Path, own: Path, tmp_path: Path) -> None:
    """In a fresh environment, far from any checkout: two workers, a model of one's own."""
    command = [str(installed), "serve", "--workers", "2", "--models", str(own)]
    with serving(command, tmp_path) as address:
        headers, html = fetch(f"{address}/")
        assert b"writes in your browser" in html
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        build = json.loads(fetch(f"{address}/build.json")[1])
        assert [model["name"] for model in build["models"]][:2] == ["a b", "b"]
        names = [*build["assets"].values(), *(model["file"] for model in build["models"])]
        for name in names:
            assert fetch(f"{address}/{name}", **{"Accept-Encoding": "br"})[1], name
        packed, _ = fetch(f"{address}/thimble.js", **{"Accept-Encoding": "br"})
        assert packed["Content-Encoding"] == "br"
