"""A site of a test's own: a copy that may be changed, under a server that may be ended."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, free_port
from thimble.hosting import precache


class Place:
    """The built site in a folder, and the application that serves it, always at one address."""

    def __init__(self, site: Path, folder: Path) -> None:
        # Links and no copies: whatever changes a file puts another in its place.
        shutil.copytree(site, folder, copy_function=os.link)
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Place:
        command = [sys.executable, str(ROOT / "server.py"), "--site", str(self.folder)]
        command += ["--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"{self.address}/healthz", timeout=5):
                    return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not answer within 120 s")

    def end(self) -> None:
        """End the server's process: from now on nobody answers at the address."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def answered(self) -> list[str]:
        """The paths of all requests that were answered with a whole file, in order."""
        log = self.log.read_text(encoding="utf-8")
        return re.findall(r'"GET (\S+) HTTP/[\d.]+" 200', log)

    def build(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "build.json").read_bytes())
        return read

    def write(self, name: str, data: bytes) -> None:
        """Put a file in another's place, without its packed copies."""
        for suffix in ("", ".br", ".gz"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        (self.folder / name).write_bytes(data)

    def release(self, marker: str, *sources: str) -> dict[str, Any]:
        """A new version: the page's script and the panels' of these sources say that they are it.

        As in a release, their names are others and the files of the version before are gone.
        """
        build = self.build()
        script, code = self._worker()
        names: dict[str, str] = {}
        for source in (*sources, "page.js"):
            before = build["assets"][source]
            text = (self.folder / before).read_text(encoding="utf-8")
            text = text[text.startswith("globalThis[") and text.index("\n") + 1 :]
            for old, new in names.items():
                text = text.replace(old, new)
            after = f"assets/{Path(source).stem}.{marker}.js"
            names[Path(before).name] = Path(after).name
            # Before the comment that names the source map.
            self.write(after, f'globalThis["is {source}"] = "{marker}";\n{text}'.encode())
            (self.folder / before).unlink()
            build["assets"][source] = after
            script["entries"] = [
                {**entry, "url": after} if entry["url"] == before else entry
                for entry in script["entries"]
            ]
        build["build"] = hashlib.sha256(marker.encode()).hexdigest()
        self.write("build.json", json.dumps(build).encode())
        listed = [entry["url"] for entry in script["entries"] if not entry["url"].endswith("/")]
        files = {name: (self.folder / name).read_bytes() for name in listed}
        later = {
            entry["url"]: (self.folder / entry["url"]).read_bytes() for entry in script["extras"]
        }
        self.write(precache.NAME, precache.listing(files, later, build) + code)
        return build

    def _worker(self) -> tuple[dict[str, Any], bytes]:
        data = (self.folder / precache.NAME).read_bytes()
        return precache.read(data), data.split(b";\n", 1)[1]
