"""Releases: one version number, and a changelog that has it."""

from __future__ import annotations

import tomllib

import pytest

import build_archive
import thimble
from tools import npm_package, release

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2027-01-05\n\n## [0.1.0] - 2026-11-24\n"


def test_wheel_npm_package_and_engine_have_one_version() -> None:
    version = thimble.__version__
    assert build_archive.project()["version"] == version
    assert build_archive.stem() == f"thimble_lm-{version}"
    assert f"\nVersion: {version}\n" in build_archive.metadata()
    assert npm_package.description([])["version"] == version


def test_no_second_place_has_the_version() -> None:
    table = tomllib.loads((build_archive.HERE / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in table["project"] and table["project"]["dynamic"] == ["version"]


def test_the_changelog_has_the_version() -> None:
    dated = release.dated_versions(release.CHANGELOG.read_text(encoding="utf-8"))
    assert thimble.__version__ in dated


def test_a_version_that_the_changelog_has_dated_is_released() -> None:
    release.check("0.2.0", CHANGELOG, "")


@pytest.mark.parametrize(
    ("version", "changes", "reason"),
    [
        ("0.3.0", "", r"lacks a line `## \[0.3.0\] - "),
        ("0.1.0", "", r"has 0.2.0 above 0.1.0"),
        ("0.2.0", " M server.py\n", r"commit these first:\n M server.py"),
    ],
)
def test_what_stands_in_the_way_of_a_release_is_said(
    version: str, changes: str, reason: str
) -> None:
    with pytest.raises(release.ReleaseError, match=reason):
        release.check(version, CHANGELOG, changes)
