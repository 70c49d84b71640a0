"""A panel is four files: its words, what it does, its styles, and its line in page.html."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import build_bytecode
from tests.conftest import ROOT
from thimble.hosting.pages import environment

TEMPLATE = '<section data-panel="hello" hidden><h1 class="hello-words">Hello</h1></section>'
MODULE = 'export const mount = (root: HTMLElement): void => root.append("said by hello");'
STYLES = ".hello-words { letter-spacing: 0.12345em; }"


@pytest.mark.slow
def test_a_panel_is_there_by_being_there(tmp_path: Path) -> None:
    web = tmp_path / "web"
    ignored = shutil.ignore_patterns("node_modules", "models", "tests")
    shutil.copytree(ROOT / "web", web, ignore=ignored)
    (web / "node_modules").symlink_to(ROOT / "web" / "node_modules")
    (web / "templates" / "panels" / "hello.html").write_text(TEMPLATE)
    (web / "src" / "panels" / "hello.ts").write_text(MODULE)
    (web / "styles" / "panels" / "hello.css").write_text(STYLES)
    page = web / "templates" / "page.html"
    page.write_text(
        page.read_text().replace('("write", "Write"),', '("write", "Write"), ("hello", "Hello"),')
    )

    out = tmp_path / "out"
    command = [build_bytecode.find_node() or "node", str(web / "build.mjs"), str(out)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assets = json.loads(ran.stdout)
    assert "said by hello" in (out / assets["hello.js"]).read_text()
    assert "hello" in (out / assets["page.js"]).read_text()
    assert ".12345em" in (out / assets["page.css"]).read_text()

    words = (
        environment(web / "templates")
        .get_template("page.html")
        .render(build={"models": [], "build": "0" * 64, "version": "0"}, asset=lambda name: name)
    )
    assert words.index('href="#panel=write"') < words.index('<a href="#panel=hello">Hello</a>')
    assert TEMPLATE in words
