"""A site of a test's own: a copy that may be changed, under a server that may be ended."""

from __future__ import annotations

import json
import os
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
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Place:
        command = [sys.executable, str(ROOT / "server.py"), "--site", str(self.folder)]
        command += ["--port", str(self.port)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the server ended"
            try:
                with urllib.request.urlopen(f"{self.address}/healthz", timeout=5):
                    return self
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server did not answer within 30 s")

    def end(self) -> None:
        """End the server's process: from now on nobody answers at the address."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def build(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads((self.folder / "build.json").read_bytes())
        return read

    def write(self, name: str, data: bytes) -> None:
        """Put a file in another's place, without its packed copies."""
        for path in self.folder.glob(f"{name}*"):
            if path.name in (Path(name).name, f"{Path(name).name}.br", f"{Path(name).name}.gz"):
                path.unlink()
        (self.folder / name).write_bytes(data)

    def release(self, replaced: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
        """A new version of the site: bundles by their sources' names get other names and contents.

        As in a release, files of the version before are gone.
        """
        build = self.build()
        worker = precache.read((self.folder / precache.NAME).read_bytes())
        code = (self.folder / precache.NAME).read_bytes().split(b";\n", 1)[1]
        for source, (name, data) in replaced.items():
            before = build["assets"][source]
            self.write(name, data)
            (self.folder / before).unlink()
            build["assets"][source] = name
            for entry in worker["entries"]:
                if entry["url"] == before:
                    entry["url"] = name
        build["build"] = precache.integrity(build["build"].encode()).encode().hex()[:64]
        self.write("build.json", json.dumps(build).encode())
        names = [entry["url"] for entry in worker["entries"] if entry["url"] != precache.PAGE]
        files = {name: (self.folder / name).read_bytes() for name in names}
        listing = precache.listing(files, worker["extras"], build)
        self.write(precache.NAME, listing + code)
        return build
