"""The npm package: what `npm pack` packs, and that somebody's bundler and compiler can use it."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import build_archive
import build_bytecode
from tools import npm_package
from tools.lint_web import TSC

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "web" / "node_modules"

CONSUMER = """
import { Thimble, ThimbleError } from "thimble-lm";
import type { Chunk, CreateOptions } from "thimble-lm";
import "thimble-lm/widget";
import type { ThimbleLm } from "thimble-lm/widget";
import "thimble-lm/task";

Thimble.configure({ site: new URL("https://example.org/thimble") });

export async function write(options: CreateOptions): Promise<string> {
  const session = await Thimble.create({ ...options, temperature: 0.8 });
  const chunks: Chunk[] = [];
  for await (const chunk of session.promptStreaming("Once", { logprobs: true })) chunks.push(chunk);
  return chunks.map((chunk) => chunk.text).join("");
}

const element: ThimbleLm = document.createElement("thimble-lm");
element.addEventListener("finish", (event) => console.log(event.detail.text));
const task = document.createElement("thimble-task");
task.addEventListener("answer", (event) => console.log(event.detail.probabilities));
export const isOurs = (error: unknown): boolean => error instanceof ThimbleError;
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npm_package.pack(tmp_path_factory.mktemp("npm"))


@pytest.fixture(scope="module")
def project(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's project, with the package as npm would unpack it and what it depends on."""
    folder = tmp_path_factory.mktemp("project")
    modules = folder / "node_modules"
    modules.mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (folder / "package").rename(modules / "thimble-lm")
    for name in described(archive)["dependencies"]:  # type: ignore[attr-defined]
        (modules / name).symlink_to(MODULES / name, target_is_directory=True)
    (folder / "package.json").write_text('{ "type": "module" }')
    (folder / "main.ts").write_text(CONSUMER)
    return folder


def contents(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as packed:
        found = {}
        for member in packed.getmembers():
            file = packed.extractfile(member)
            assert file is not None
            found[member.name.removeprefix("package/")] = file.read().decode()
        return found


def described(archive: Path) -> dict[str, object]:
    text: dict[str, object] = json.loads(contents(archive)["package.json"])
    return text


def node(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    found = build_bytecode.find_node()
    assert found is not None
    words = [found, *map(str, command)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True)


def test_it_says_what_it_is_and_holds_what_it_says(archive: Path) -> None:
    files, package = contents(archive), described(archive)
    assert archive.name == f"thimble-lm-{build_archive.project()['version']}.tgz"
    assert (package["name"], package["type"]) == ("thimble-lm", "module")
    for place in re.findall(r'"\./([^"]+\.(?:js|d\.ts))"', files["package.json"]):
        assert place in files
    assert {"README.md", "LICENSE", "THIRD-PARTY.txt"} <= set(files)
    assert not [name for name in files if name.endswith(".map")]
    pinned = json.loads((ROOT / "web" / "package.json").read_text())["dependencies"]
    wanted = package["dependencies"]
    assert isinstance(wanted, dict) and wanted
    assert wanted == {name: f"^{pinned[name]}" for name in wanted}


def test_no_module_asks_where_it_lies(archive: Path) -> None:
    """In a bundle, `import.meta.url` is the bundle's."""
    for name, text in contents(archive).items():
        if name.endswith(".js"):
            assert "import.meta" not in text, name


def test_the_types_say_what_is_public_and_no_more(archive: Path) -> None:
    files = contents(archive)
    api = files["types/thimble.d.ts"]
    for word in ("configure(", "create(", "promptStreaming(", "class DownloadProgressEvent"):
        assert word in api
    assert "logitsHash" not in api and "prepare(" not in api  # marked @internal
    for name, text in files.items():
        if name.endswith(".d.ts"):
            for target in re.findall(r"""(?:from|import\()\s*["'](\.[^"']+)["']""", text):
                beside = (Path("/") / name).parent / target.removesuffix(".js")
                there = f"{beside.resolve().relative_to('/')}.d.ts"
                assert target.endswith(".js") and there in files, (name, target)


@pytest.mark.parametrize(
    ("module", "resolution"), [("ESNext", "Bundler"), ("NodeNext", "NodeNext")]
)
def test_a_consumer_is_type_checked(project: Path, module: str, resolution: str) -> None:
    options = ["--noEmit", "--strict", "--target", "ES2022", "--skipLibCheck", "false"]
    options += ["--lib", "ES2023,DOM,DOM.Iterable,DOM.AsyncIterable", "--types", ""]
    options += ["--module", module, "--moduleResolution", resolution]
    ran = node(TSC, *options, "main.ts", cwd=project)
    assert ran.returncode == 0, ran.stdout
    wrong = CONSUMER.replace('site: new URL("https://example.org/thimble")', "sight: 1")
    (project / "wrong.ts").write_text(wrong)
    ran = node(TSC, *options, "wrong.ts", cwd=project)
    assert ran.returncode != 0 and "sight" in ran.stdout  # the types are seen


def test_a_consumer_is_bundled_with_one_engine_for_both(project: Path) -> None:
    made = bundle(project, "main.ts")
    text = "".join(path.read_text() for path in made)
    assert "import.meta" not in text
    # The marks of what must be there once: the class of the API, and each element's definition.
    assert text.count("nobody has said where the site is") == 1
    assert text.count("downloadprogress") >= 1
    assert len(re.findall(r"customElements\.define\(", text)) == 2


def bundle(project: Path, source: str) -> list[Path]:
    options = ["--bundle", "--format=esm", "--splitting", "--outdir=out", "--log-level=warning"]
    ran = node(MODULES / "esbuild" / "bin" / "esbuild", source, *options, cwd=project)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""  # nor a warning
    return sorted((project / "out").glob("*.js"))


def test_the_site_is_named_first_and_rightly(project: Path) -> None:
    """Under Node, where nothing of a browser is."""
    bundle(project, "main.ts")
    script = """
        globalThis.location = { href: "https://my.app/page" };
        const { Thimble } = await import("thimble-lm");
        const told = (question) => question.then(() => "no error", (error) => error.message);
        const said = (site) => { try { Thimble.configure({ site }); } catch (error) {
          return `${error.name}: ${error.message}`; } };
        console.log(JSON.stringify([
          await told(Thimble.models()),
          said("https://example.org/?a=1"), said("data:text/plain,x"), said("https://"),
          said("/thimble"), said("https://example.org/thimble"), said("https://example.org/thimble/"),
        ]));
        globalThis.fetch = async (address) => { console.log(String(address)); throw 1; };
        await told(Thimble.models());
        console.log(said("https://other.example/"));
    """
    ran = node("--input-type=module", "-e", script, cwd=project)
    assert ran.returncode == 0, ran.stderr
    told, asked, late = ran.stdout.splitlines()
    unsaid, *wrong, first, second, third = json.loads(told)
    assert "Thimble.configure({ site:" in unsaid
    assert len(wrong) == 3
    for line in wrong:
        assert line.startswith("OptionError: the site is ") and "https://example.org/" in line
    assert (first, second, third) == (None, None, None)
    assert asked == "https://example.org/thimble/build.json"
    assert "https://example.org/thimble/ already" in late


def test_the_same_sources_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    assert npm_package.pack(tmp_path).read_bytes() == archive.read_bytes()
