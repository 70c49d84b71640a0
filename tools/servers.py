"""The web servers that docs/deploy has files for, so that tests can run those files.

    python -m tools.servers        unpacks Debian's nginx and Caddy, where that is possible

They are unpacked into `build/servers` and not installed: an installed one would be started, and
would answer on this machine's port 80.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys

from tools.fingerprint import BUILD

FOLDER = BUILD / "servers"
PLACES = {"nginx": "usr/sbin/nginx", "caddy": "usr/bin/caddy"}
"""Where Debian's package of that name has the program."""


def find(name: str) -> str | None:
    """The path of a server's program, or None."""
    unpacked = FOLDER / PLACES[name]
    return shutil.which(name) or (str(unpacked) if unpacked.is_file() else None)


def ensure() -> None:
    """Unpack those that are missing; where there is no Debian to ask, leave it."""
    missing = [name for name in PLACES if find(name) is None]
    debian = shutil.which("apt-get") and shutil.which("dpkg") and platform.system() == "Linux"
    if not missing or not debian:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in missing:
        command = ["apt-get", "download", "-q", name]
        print("$", *command, flush=True)
        if subprocess.run(command, cwd=FOLDER).returncode == 0:
            for package in FOLDER.glob(f"{name}_*.deb"):
                subprocess.run(["dpkg", "-x", str(package), str(FOLDER)])
                package.unlink()


if __name__ == "__main__":
    ensure()
    sys.exit(0)
