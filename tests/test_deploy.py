"""Every file in docs/deploy, run by the program that it is for, where that is on this machine."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import free_port
from tests.test_connection import running
from tests.test_server import write_site
from thimble.cli import _parser
from tools import servers

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "docs" / "deploy"
NAME = "thimble.example.org"
SCRIPT = "/assets/page.1a2b3c4d.js"


def program(name: str) -> str:
    found = servers.find(name) if name in servers.PLACES else shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name} (Debian's package, by `make setup-test`)")
    return found


def test_each_file_is_run_by_a_test() -> None:
    tested = {"Caddyfile", "Containerfile", "nginx.conf", "pages.yml", "thimble.service"}
    others = {"README.md"} | {path.name for path in DEPLOY.glob("*.json")}  # words and figures
    assert {path.name for path in DEPLOY.iterdir()} == tested | others


@contextmanager
def process(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A server that listens on a port."""
    log = folder / "log"
    with log.open("w") as output:
        made = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            until = time.monotonic() + 30
            while True:
                assert made.poll() is None and time.monotonic() < until, log.read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield
        finally:
            made.terminate()
            made.wait(30)


# --- nginx ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    pem, key = folder / "pem", folder / "key"
    command = [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return pem, key


@contextmanager
def nginx(
    folder: Path, certificate: tuple[Path, Path], upstream: int, names: str = NAME
) -> Iterator[tuple[int, int]]:
    """nginx with our file before a server on a port; its own ports, for HTTP and HTTPS."""
    plain, secure = free_port(), free_port()
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("/var/cache/nginx/thimble", f"{folder}/cache"),
        (f"/etc/ssl/{NAME}.pem", str(certificate[0])),
        (f"/etc/ssl/private/{NAME}.key", str(certificate[1])),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("listen 80", f"listen 127.0.0.1:{plain}"),
        ("listen 443", f"listen 127.0.0.1:{secure}"),
        (f"server_name {NAME}", f"server_name {names}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if Path("/").owner() == Path(folder).owner() else ""
    whole = f"{user}daemon off; pid {folder}/pid; error_log {folder}/errors;\nevents {{}}\n"
    whole += f"http {{\naccess_log off;\n{temporary}{text}}}\n"
    (folder / "nginx.conf").write_text(whole)
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(command, secure, folder):
        yield plain, secure


def get(
    port: int, path: str, *, host: str = NAME, name: str | None = NAME, **headers: str
) -> tuple[int, Any, bytes]:
    """An answer's status, headers and body over TLS to `name`, or over none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    if name is not None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection.connect()
        connection.sock = context.wrap_socket(connection.sock, server_hostname=name)
    connection.request("GET", path, headers={"Host": host, **headers})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def test_nginx_passes_on_what_the_server_says_and_keeps_assets(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    site = write_site(tmp_path / "site")
    options: dict[str, Any] = {"proxy_headers": True, "hosts": [NAME]}
    with running(site, **options) as upstream:
        made = nginx(tmp_path, certificate, upstream)
        plain, secure = made.__enter__()
        status, headers, page = get(secure, "/")
        assert status == 200 and b"writes in your browser" in page
        assert headers["Cache-Control"] == "private, no-cache"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Link"].startswith(f"<https://{NAME}/oembed")
        wanted = {"Accept-Encoding": "br"}
        first = get(secure, SCRIPT, **wanted)
        assert (first[0], first[1]["Content-Encoding"]) == (200, "br")
        status, headers, _ = get(plain, "/x?y=1", name=None)
        assert (status, headers["Location"]) == (301, f"https://{NAME}/x?y=1")
    try:
        # The server is gone: this comes from the cache, and what must not be kept was not.
        status, headers, body = get(secure, SCRIPT, **wanted)
        assert (status, headers["Content-Encoding"], body) == (200, "br", first[2])
        assert get(secure, "/")[0] == 502
    finally:
        made.__exit__(None, None, None)


def test_nginx_gives_nobody_what_a_forged_host_got(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    site = write_site(tmp_path / "site")
    question = "/oembed?url=%2Fembed%2Fstory"
    with (
        running(site, proxy_headers=True) as upstream,
        nginx(tmp_path, certificate, upstream) as (plain, secure),
    ):
        for port, name in ((secure, NAME), (plain, None)):
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                get(port, question, host="evil.example", name=name)
        with pytest.raises(ssl.SSLError):
            get(secure, question, host="evil.example", name="evil.example")
        status, headers, body = get(secure, question)
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert json.loads(body)["provider_url"] == f"https://{NAME}/"


class _Echo(BaseHTTPRequestHandler):
    """Says which host was asked for, and that anybody may keep the answer."""

    def do_GET(self) -> None:
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Cache-Control", "public, max-age=3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_nginx_keeps_the_answers_of_each_host_apart(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    other = "other.example.org"
    try:
        made = nginx(tmp_path, certificate, upstream.server_port, f"{NAME} {other}")
        with made as (_, secure):
            for host in (NAME, other, NAME, other):
                assert get(secure, "/", host=host)[2] == host.encode()
    finally:
        upstream.shutdown()


# --- Caddy ---


def _blocks(text: str) -> list[str]:
    """The sites that the file has, and those that it has in comments."""
    lines = [re.sub(r"\A# ?", "", line) for line in text.splitlines()]
    blocks: list[str] = []
    block: list[str] = []
    for line in lines:
        if block or re.fullmatch(r"[a-z.]+ \{", line):
            block.append(line)
        if line == "}":
            blocks.append("\n".join(block) + "\n")
            block = []
    return blocks


def test_caddy_reads_every_site_of_the_file(tmp_path: Path) -> None:
    blocks = _blocks((DEPLOY / "Caddyfile").read_text())
    assert len(blocks) == 3
    for block in blocks:
        (tmp_path / "Caddyfile").write_text(block)
        command = [program("caddy"), "adapt", "--adapter", "caddyfile", "--config", "Caddyfile"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["apps"]["http"]["servers"]


@pytest.mark.parametrize("below", ["", "/thimble"])
def test_caddy_passes_on_what_the_server_says(tmp_path: Path, below: str) -> None:
    site, port = write_site(tmp_path / "site"), free_port()
    block = _blocks((DEPLOY / "Caddyfile").read_text())[1 if below else 0]
    options: dict[str, Any] = {"proxy_headers": True, "root_path": below}
    with running(site, **options) as upstream:
        text = re.sub(r"\A[a-z.]+ \{", f"http://127.0.0.1:{port} {{", block)
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
        (tmp_path / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https off\n}\n" + text)
        command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", "Caddyfile"]
        with process(command, port, tmp_path):
            status, headers, page = get(port, f"{below}/", host=f"127.0.0.1:{port}", name=None)
            assert status == 200 and b"writes in your browser" in page
            assert headers["Cache-Control"] == "private, no-cache"
            assert headers["Link"].startswith(f"<http://127.0.0.1:{port}{below}/oembed")


# --- systemd, a container, GitHub ---


def test_systemd_takes_the_unit_and_the_command_is_ours(tmp_path: Path) -> None:
    text = (DEPLOY / "thimble.service").read_text()
    [line] = re.findall(r"^ExecStart=(.*)$", text, re.M)
    path, *arguments = shlex.split(line)
    assert _parser().parse_args(arguments).proxy_headers
    (tmp_path / "thimble.service").write_text(text.replace(path, "/bin/true"))
    for arguments in (
        ["verify", "--man=no"],
        ["security", "--offline=true", "--threshold=20"],  # tenths; 0 is the least exposed
    ):
        command = [program("systemd-analyze"), *arguments, str(tmp_path / "thimble.service")]
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "thimble.service:" not in ran.stderr


def test_what_the_container_starts_works_and_knows_that_it_does(
    tmp_path: Path, installed: Path
) -> None:
    text = (DEPLOY / "Containerfile").read_text()
    [entry] = re.findall(r"^ENTRYPOINT (.*)$", text, re.M)
    [health] = re.findall(r"^HEALTHCHECK CMD (.*)$", text, re.M)
    [copied] = re.findall(r"^COPY (.*) /tmp/wheels/$", text, re.M)
    lock, wheels = copied.split()
    assert (ROOT / lock).is_file() and wheels.startswith("build/wheels/thimble_lm-")
    port = free_port()
    start, ask = ([part.replace("8000", str(port)) for part in json.loads(one)] for one in
                  (entry, health))  # fmt: skip
    python = installed.with_name("python")
    with process([str(installed), *start[1:]], port, tmp_path):
        ran = subprocess.run([str(python), *ask[1:]], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    assert subprocess.run([str(python), *ask[1:]], capture_output=True).returncode != 0


def test_the_workflow_for_pages_runs_what_there_is() -> None:
    workflow = yaml.safe_load((DEPLOY / "pages.yml").read_text())
    # YAML 1.1 reads the key `on` as a truth value.
    assert workflow[True] == {"push": {"branches": ["main"]}}
    [job] = workflow["jobs"].values()
    assert set(workflow["permissions"]) == {"contents", "pages", "id-token"}
    identities = {step["id"] for step in job["steps"] if "id" in step}
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/x@v1"))
    told = set(re.findall(r"steps\.([a-z]+)\.", (DEPLOY / "pages.yml").read_text()))
    assert told == identities
    make, export = (shlex.split(step["run"]) for step in job["steps"] if "run" in step)
    assert subprocess.run([*make, "-n"], cwd=ROOT, capture_output=True).returncode == 0
    assert export[0] == ".venv/bin/thimble"
    options = _parser().parse_args(export[1:])
    assert (str(options.folder), options.base_url) == ("build/export", "$BASE_URL")
    [path] = (step["with"]["path"] for step in job["steps"] if "path" in step.get("with", {}))
    assert path == str(options.folder)
