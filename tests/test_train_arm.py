"""Training on Arm gives the bits that it gives here: the kernels without Python, under QEMU."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import build_kernels

RUNNER = Path(__file__).parent / "kernels" / "train_runner.c"
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
F32, Q4_0 = "0", "2"


def built(target: str, folder: Path) -> Path:
    """The runner, linked with the kernels and with no library of the system's."""
    program = folder / target
    flags = [flag for flag in build_kernels.COMMON_FLAGS if flag not in ("-fPIC", "-Wextra")]
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-static", *flags]
    command += ["-I", str(build_kernels.SOURCES), "-o", str(program), str(RUNNER)]
    command += [str(path) for path in build_kernels.source_files()]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return program


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, (ran.returncode, ran.stderr)
    return ran.stdout


@pytest.mark.skipif(QEMU is None, reason="QEMU is not installed (Debian: qemu-user-static)")
def test_arm_trains_to_the_same_bits(tmp_path: Path) -> None:
    assert QEMU is not None
    here = built("x86_64-linux-musl", tmp_path)
    arm = built("aarch64-linux-musl", tmp_path)
    for muon, encoding, threads in (("1", F32, "1"), ("0", Q4_0, "3")):
        arguments = ("12", muon, encoding, threads)
        found = run(QEMU, str(arm), *arguments)
        assert len(found) == 17
        assert found == run(str(here), *arguments)
