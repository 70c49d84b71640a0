"""Runs the unit tests of the front end's pure modules (`web/tests/`) by Node's test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import build_bytecode
from tests.conftest import ROOT

TESTS = sorted((ROOT / "web" / "tests").glob("*.test.ts"))


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = build_bytecode.find_node()
    assert found is not None, "Node was not found: run `make setup`"
    return subprocess.run([found, *arguments], cwd=ROOT / "web", capture_output=True, text=True)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    ran = node("test.mjs", str(folder))
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.mark.parametrize("name", [path.name.removesuffix(".ts") for path in TESTS])
def test_the_modules_units_pass(bundles: Path, name: str) -> None:
    ran = node("--test", "--test-reporter=tap", str(bundles / f"{name}.mjs"))
    assert ran.returncode == 0, ran.stdout
    assert "\n# pass 0\n" not in ran.stdout
