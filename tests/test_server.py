"""The server over a small made-up site: which URL gives what, and with which headers."""

from __future__ import annotations

import gzip
import json
import logging
import os
from pathlib import Path

import brotli
import pytest
from starlette.testclient import TestClient

import server
from thimble.hosting import application

MODULE = b"export const words = 'a module that is worth compressing';\n" * 40
MODEL = bytes(range(256)) * 64
IMMUTABLE = "public, max-age=31536000, immutable"


def write_site(folder: Path, build: str = "a" * 64) -> Path:
    """A site as `make site` lays it out, in miniature."""
    assets = folder / "assets"
    (assets / "pyodide.0badcafe").mkdir(parents=True)
    for name in ("page.1a2b3c4d.js", "pyodide.0badcafe/pyodide.mjs"):
        path = assets / name
        path.write_bytes(MODULE)
        path.with_name(path.name + ".br").write_bytes(brotli.compress(MODULE))
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(MODULE))
    (assets / "page.1a2b3c4d.css").write_text("p { margin: 0 }")
    (assets / "icon.1a2b3c4d.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (assets / "pyodide.0badcafe" / "pyodide.asm.wasm").write_bytes(b"\0asm\1\0\0\0")
    (assets / "pyodide.0badcafe" / "thimble_lm-0.1.0.whl").write_bytes(b"PK")
    (assets / "story.1a2b3c4d.gguf").write_bytes(MODEL)
    (folder / "thimble.js").write_bytes(b"export class Thimble {}")
    listing = {
        "build": build,
        "version": "0.1.0",
        "pyodide": "assets/pyodide.0badcafe/",
        "assets": {
            "page.js": "assets/page.1a2b3c4d.js",
            "write.js": "assets/play.0badcafe.js",
            "page.css": "assets/page.1a2b3c4d.css",
            "icon.svg": "assets/icon.1a2b3c4d.svg",
            "icon-192.png": "assets/icon-192.1a2b3c4d.png",
            "frame.css": "assets/frame.0badcafe.css",
            "frame.js": "assets/frame.0badcafe.js",
            "save-model.js": "assets/save-model.0badcafe.js",
        },
        "models": [
            {
                "name": "story",
                "title": "Stories <b>& more</b>",
                "file": "assets/story.1a2b3c4d.gguf",
                "bytes": len(MODEL),
                "sha256": "b" * 64,
                "license": "MIT",
                "parameters": 1_600_000,
                "default": True,
            }
        ],
    }
    (folder / "build.json").write_text(json.dumps(listing))
    return folder


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    return write_site(tmp_path / "site")


@pytest.fixture
def client(site_folder: Path) -> TestClient:
    # Says nothing of codings by itself: each test says what it accepts.
    return TestClient(server.create_app(site_folder), headers={"Accept-Encoding": "identity"})


def test_the_page_can_be_read_before_any_script_runs(client: TestClient) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "writes in your browser" in response.text
    assert "no server-side inference" in response.text
    assert 'src="assets/page.1a2b3c4d.js"' in response.text
    assert 'href="assets/page.1a2b3c4d.css"' in response.text


def test_the_page_has_no_inline_script_or_style_and_escapes_what_the_build_says(
    client: TestClient,
) -> None:
    html = client.get("/").text
    assert "<style" not in html and " style=" not in html and "onclick" not in html
    assert all("src=" in tag for tag in html.split("<script")[1:])
    assert "Stories &lt;b&gt;&amp; more&lt;/b&gt;" in html


def test_the_page_refers_to_nothing_outside_and_works_below_a_sub_path(client: TestClient) -> None:
    html = client.get("/").text
    targets = [part.split('"')[0] for part in html.replace("src=", "href=").split('href="')[1:]]
    assert targets
    assert not [target for target in targets if target.startswith(("/", "http"))]


def test_the_page_is_revalidated(client: TestClient) -> None:
    first = client.get("/")
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("example.org", 200), ("EXAMPLE.ORG:80", 200), ("a.b.example.net", 200), ("[::1]:80", 200),
        ("example.com", 421), ("example.org.", 421), ("example.net", 421), (".example.net", 421),
        ("notexample.net", 421), ("example.org:80:80", 421), ("example.org/", 421), ("", 421),
        ("user@example.org", 421), ("[::2]", 421),
    ],
)  # fmt: skip
def test_a_server_that_knows_its_hosts_answers_for_no_other(
    site_folder: Path, host: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(application.ALLOWED_HOSTS, "example.org,*.example.net,[::1]")
    client = TestClient(server.create_app(site_folder))
    for path in ("/", "/thimble.js", "/oembed?url=/", "/nowhere", "/assets/story.1a2b3c4d.gguf"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == (404 if (path, status) == ("/nowhere", 200) else status)
        assert status == 200 or answer.headers["cache-control"] == "no-store"
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_security_headers_are_on_every_answer(client: TestClient) -> None:
    for path in ("/", "/assets/page.1a2b3c4d.js", "/models.json", "/healthz", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self' 'wasm-unsafe-eval';" in policy
        assert "'unsafe-inline'" not in policy and "'unsafe-eval'" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "camera=()" in headers["permissions-policy"]
        # The page may share a memory between threads; nobody frames it, so nobody is kept out.
        assert headers["cross-origin-embedder-policy"] == "require-corp"


def test_one_page_may_reach_other_hosts_and_no_script_that_a_worker_could_start(
    client: TestClient,
) -> None:
    response = client.get("/save-model/")
    policy = response.headers["content-security-policy"]
    assert "connect-src 'self' https: " in policy
    assert "script-src 'self';" in policy and "worker-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy  # the playground's frame and nobody else's
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cross-origin-embedder-policy"] == "require-corp"
    assert 'src="../assets/save-model.0badcafe.js"' in response.text
    for path in ("/", "/embed/story/", "/thimble.js", "/assets/page.1a2b3c4d.js"):
        assert "connect-src 'self';" in client.get(path).headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "media_type", "cache"),
    [
        ("assets/page.1a2b3c4d.js", "text/javascript; charset=utf-8", IMMUTABLE),
        ("assets/page.1a2b3c4d.css", "text/css; charset=utf-8", IMMUTABLE),
        ("assets/icon.1a2b3c4d.svg", "image/svg+xml", IMMUTABLE),
        ("assets/pyodide.0badcafe/pyodide.mjs", "text/javascript; charset=utf-8", IMMUTABLE),
        ("assets/pyodide.0badcafe/pyodide.asm.wasm", "application/wasm", IMMUTABLE),
        ("assets/pyodide.0badcafe/thimble_lm-0.1.0.whl", "application/zip", IMMUTABLE),
        ("assets/story.1a2b3c4d.gguf", "application/octet-stream", IMMUTABLE),
        ("thimble.js", "text/javascript; charset=utf-8", "no-cache"),
        ("build.json", "application/json", "no-cache"),
    ],
)
def test_files_have_their_type_and_caching_and_may_be_embedded(
    client: TestClient, path: str, media_type: str, cache: str
) -> None:
    response = client.get("/" + path)
    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert response.headers["cache-control"] == cache
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cross-origin-resource-policy"] == "cross-origin"


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=1.0, gzip;q=0.999", "br"),
        ("*", "br"),
        ("*;q=0.1, gzip;q=0.5", "gzip"),
        ("br;q=0.5, identity", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("zstd", None),
        ("", None),
        ("br;q=nonsense, gzip", "gzip"),
    ],
)
def test_the_best_coding_that_the_client_takes_is_sent(
    client: TestClient, accept: str, coding: str | None
) -> None:
    response = client.get("/assets/page.1a2b3c4d.js", headers={"Accept-Encoding": accept})
    assert response.headers.get("content-encoding") == coding
    assert response.headers["vary"] == "Accept-Encoding"
    assert response.content == MODULE  # the client unpacks


def test_each_coding_has_a_strong_tag_of_its_own(client: TestClient) -> None:
    path = "/assets/page.1a2b3c4d.js"
    tags = {
        client.get(path, headers={"Accept-Encoding": coding}).headers["etag"]
        for coding in ("br", "gzip", "identity")
    }
    assert len(tags) == 3
    assert not [tag for tag in tags if tag.startswith("W/")]


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_a_known_representation_is_not_sent_again(client: TestClient, form: str) -> None:
    path = "/thimble.js"
    tag = client.get(path).headers["etag"]
    response = client.get(path, headers={"If-None-Match": form.format(tag)})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == tag
    assert response.headers["cache-control"] == "no-cache"
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_range_is_of_the_uncompressed_file(client: TestClient) -> None:
    path = "/assets/page.1a2b3c4d.js"
    headers = {"Range": "bytes=7-12", "Accept-Encoding": "br"}
    response = client.get(path, headers=headers)
    assert response.status_code == 206
    assert response.content == MODULE[7:13]
    assert response.headers["content-range"] == f"bytes 7-12/{len(MODULE)}"
    assert "content-encoding" not in response.headers


def test_a_download_can_go_on_where_it_broke_off(client: TestClient) -> None:
    path = "/assets/story.1a2b3c4d.gguf"
    whole = client.get(path)
    assert whole.headers["accept-ranges"] == "bytes"
    headers = {"Range": "bytes=16000-", "If-Range": whole.headers["etag"]}
    rest = client.get(path, headers=headers)
    assert (rest.status_code, rest.content) == (206, MODEL[16000:])
    changed = client.get(path, headers={**headers, "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, MODEL)


def test_a_range_beyond_the_end_is_refused(client: TestClient) -> None:
    response = client.get("/assets/story.1a2b3c4d.gguf", headers={"Range": "bytes=99999-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(MODEL)}"


def test_head_says_what_get_would(client: TestClient) -> None:
    for path in ("/", "/assets/story.1a2b3c4d.gguf", "/models.json"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers.get("etag") == get.headers.get("etag")


def test_models_json_tells_programs_what_there_is(client: TestClient) -> None:
    response = client.get("/models.json")
    assert response.headers["access-control-allow-origin"] == "*"
    (model,) = response.json()["models"]
    assert model["name"] == "story"
    assert model["bytes"] == len(MODEL)
    assert model["sha256"] == "b" * 64
    assert model["license"] == "MIT"
    assert model["parameters"] == 1_600_000
    assert client.get("/" + model["url"]).content == MODEL


def test_healthz_names_the_build(client: TestClient) -> None:
    response = client.get("/healthz")
    assert response.json() == {"status": "ok", "version": "0.1.0", "build": "a" * 64}
    assert response.headers["cache-control"] == "no-store"


def test_people_get_a_page_and_programs_get_json_for_what_is_not_there(client: TestClient) -> None:
    person = client.get("/nowhere", headers={"Accept": "text/html,*/*"})
    assert person.status_code == 404
    assert "Nothing is here" in person.text
    for path in ("/assets/gone.js", "/other.json"):
        program = client.get(path, headers={"Accept": "text/html"})
        assert program.status_code == 404
        assert program.json()["status"] == 404
        assert program.headers["cache-control"] == "no-store"


def test_an_address_is_not_echoed_into_the_error_page(client: TestClient) -> None:
    response = client.get("/<script>alert(1)</script>", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert "<script" not in response.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/healthz", "/models.json", "/thimble.js"])
def test_nothing_can_be_written(client: TestClient, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert {part.strip() for part in response.headers["allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../build.json.secret",
        "/%2e%2e/secret",
        "/assets/%2e%2e/%2e%2e/secret",
        "/assets/..%2f..%2fsecret",
        "/..%5csecret",
        "//etc/passwd",
        "/assets/",
        "/assets/page.1a2b3c4d.js/",
        "/assets/%00",
    ],
)
def test_only_files_of_the_site_can_be_had(
    client: TestClient, site_folder: Path, path: str
) -> None:
    (site_folder.parent / "secret").write_text("not for you")
    response = client.get(path)
    assert response.status_code == 404
    assert "not for you" not in response.text


def test_the_compressed_copies_have_no_address_of_their_own(client: TestClient) -> None:
    assert client.get("/assets/page.1a2b3c4d.js.br").status_code == 404


def test_without_a_site_every_answer_says_what_to_run(tmp_path: Path) -> None:
    client = TestClient(server.create_app(tmp_path / "none"))
    for path in ("/", "/healthz", "/thimble.js"):
        response = client.get(path)
        assert response.status_code == 503
        assert "make site" in response.text


def test_without_a_site_the_command_ends_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        server.main(["--site", str(tmp_path / "none")])
    message = str(ended.value)
    assert "make site" in message
    assert "\n" not in message


def test_a_rebuilt_site_is_served_without_a_restart(client: TestClient, site_folder: Path) -> None:
    assert client.get("/healthz").json()["build"] == "a" * 64
    write_site(site_folder.parent / "next", build="c" * 64)
    (site_folder / "build.json").write_bytes(
        (site_folder.parent / "next" / "build.json").read_bytes()
    )
    later = (site_folder / "build.json").stat().st_mtime_ns + 1_000_000_000
    os.utime(site_folder / "build.json", ns=(later, later))
    assert client.get("/healthz").json()["build"] == "c" * 64
    assert "build <code>cccccccc</code>" in client.get("/").text


def test_what_follows_a_question_mark_is_not_logged() -> None:
    arguments = ("127.0.0.1:5", "GET", "/?prompt=my+secret", "1.1", 200)
    words = "%s %s %s %s %d"
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 0, words, arguments, None)
    assert application.WithoutQuery().filter(record)
    assert "secret" not in record.getMessage()
    assert "GET /" in record.getMessage()


@pytest.mark.parametrize("has_numpy", [True, False])
def test_an_example_that_needs_numpy_is_offered_where_numpy_is(
    tmp_path: Path, has_numpy: bool
) -> None:
    folder = write_site(tmp_path)
    build = json.loads((folder / "build.json").read_text())
    (folder / "build.json").write_text(json.dumps({**build, "numpy": has_numpy}))
    page = TestClient(server.create_app(folder)).get("/").text
    assert ("With NumPy" in page) is has_numpy
    assert "Beam search" in page
