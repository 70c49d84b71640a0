"""A model of the visitor's own: dropped, or from a host that breaks off or has another file."""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

import thimble
from tests.browser.conftest import PATIENCE_MS, short_of_room, too_wide, violations
from tests.browser.test_offline import Tab, write
from tests.test_split import cut
from tests.tiny_models import SPECS, TinySpec, head_of_large, make
from thimble.split import joined

LARGE = make(TinySpec("F32", dim=512, hidden_dim=2048, n_layers=1, n_heads=8, head_dim=64, seed=41))
"""Of several pieces."""
TINY = make(SPECS["q8_0"])
HUGE = head_of_large(n_layers=24, dim=2048, hidden_dim=16384)

HELD = 1 << 16
"""Bytes that a host which holds back a file's end does not send."""
LOADING = re.compile(rf"of {len(LARGE) / 1e6:.1f} MB, [1-9][\d.]* MB of it loaded")
"""What the page says of LARGE when the engine has bytes of it, and it is not here yet."""

SEVEN = """(field) => {
  field.value = 7;
  field.dispatchEvent(new Event("input", { bubbles: true })); // or a model's own may come over it
}"""

PIECES = """async () => {
  const kept = await (await caches.open("thimble-models")).keys();
  return kept.map(({ url }) => url).filter((url) => url.includes("/piece/")).length;
}"""


@dataclass
class Host:
    """Files for any site; it ends its answers after so many bytes of them, if it is told to."""

    files: dict[str, bytes]
    sizes: dict[str, int] = field(default_factory=dict)
    """Of files that are said to be larger than what there is of them."""
    ends_after: int | None = None
    holds: threading.Event | None = None
    """Until it is set the last bytes of a file do not go out."""
    ranges: list[int] = field(default_factory=list)
    """Where the answers to GET began, those for a few first bytes left out."""
    address: str = ""
    modified: str | None = "Mon, 02 Nov 2026 12:00:00 GMT"
    """When its files were changed, where it says so."""
    refuses_ranges: bool = False
    """Whether it answers 416 to whoever wants a file from a later byte on."""

    def serve(self) -> ThreadingHTTPServer:
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.head(0)

            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                ranged = re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", ""))
                start = int(ranged[1]) if ranged else 0
                end = int(ranged[2]) + 1 if ranged and ranged[2] else None
                if end is None:
                    host.ranges.append(start)
                if host.refuses_ranges and start > 0:
                    self.send_response(416)
                    self.send_header("Access-Control-Allow-Origin", "*")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                body = host.files.get(name, b"")[start:end]
                self.head(start, len(body) if end is not None else None, ranged=bool(ranged))
                if end is None and host.holds:
                    self.wfile.write(body[:-HELD])
                    host.holds.wait(PATIENCE_MS / 1000)
                    body = body[-HELD:]
                with suppress(OSError):  # nobody waits for it any more
                    self.wfile.write(body if end is not None else body[: host.ends_after])

            def head(self, start: int, length: int | None = None, ranged: bool = False) -> None:
                name = self.path.rpartition("/")[2]
                size = host.sizes.get(name, len(host.files.get(name, b"")))
                there = 206 if ranged else 200
                self.send_response(there if name in host.files else 404)
                self.send_header("Access-Control-Allow-Origin", "*")
                if host.modified:
                    self.send_header("Last-Modified", host.modified)
                self.send_header("Content-Length", str(size - start if length is None else length))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: pytest's output is for results."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{server.server_address[1]}/models"
        return server

    @contextmanager
    def holding(self) -> Iterator[threading.Event]:
        """Hold back the end of every file until the event is set, or the block is left."""
        self.holds = threading.Event()
        try:
            yield self.holds
        finally:
            self.holds.set()
            self.holds = None


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host(
        {"large.gguf": LARGE, "tiny.gguf": TINY, "huge.gguf": HUGE, "other.gguf": b"PK\3\4"}
    )
    made.sizes["huge.gguf"] = 5_000_000_000
    server = made.serve()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny model as llama.cpp's gguf-split cuts it."""
    return {path.name: path.read_bytes() for path in cut(tmp_path_factory.mktemp("parts"))}


def whole(parts: dict[str, bytes]) -> bytes:
    """The parts as one file, as it is made natively."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in parts]
        for path, data in zip(paths, parts.values(), strict=True):
            path.write_bytes(data)
        return joined(paths).to_bytes()


def name_address(page: Page, address: str, digest: str = "") -> None:
    """Write an address, by the keys, and have it looked at."""
    page.evaluate("location.hash = 'panel=machine'")
    page.get_by_role("button", name="From an address…").click()
    field = page.get_by_role("textbox", name="Address of a GGUF file")
    expect(field).to_be_focused()
    field.fill(address)
    page.get_by_role("textbox", name="SHA-256, if you know it").fill(digest)
    field.press("Enter")


def before_stands(page: Page) -> bool:
    """Whether the page still writes with the model that it opened with, and has no other."""
    page.evaluate("location.hash = 'panel=write'")
    expect(page.locator("#model")).to_have_value("story")
    expect(page.locator("#model option[value=large]")).to_have_count(0)
    return bool(write(page))


def load(page: Page) -> None:
    page.get_by_role("button", name="Load", exact=True).click()


def test_a_download_that_breaks_off_goes_on_at_another_visit(
    context: BrowserContext, host: Host
) -> None:
    host.ranges.clear()
    host.ends_after = 12 << 20
    page = Tab(context).open()
    name_address(page, f"{host.address}/large.gguf")
    expect(page.locator("#incoming-kind")).to_contain_text("llama")
    expect(page.locator("#incoming-size")).to_have_text(f"{len(LARGE) / 1e6:.1f} MB")
    assert host.ranges == []  # nothing but its size and its first bytes
    host.files["large.gguf"] = LARGE[: 12 << 20]  # from here on the host has no more
    host.sizes["large.gguf"] = len(LARGE)
    load(page)
    words = page.locator("#incoming-words")
    expect(words).to_contain_text(f"of {len(LARGE)} bytes; what arrived is saved")
    came = int(re.findall(r"after (\d+) of", words.inner_text())[0])
    assert 8 << 20 < came <= 12 << 20
    assert page.evaluate(PIECES) > 1
    assert before_stands(page)
    page.close()

    host.files["large.gguf"], host.ends_after = LARGE, None
    host.ranges.clear()
    page = Tab(context).open("/#panel=machine")
    expect(page.locator("#kinds")).to_contain_text("Interrupted downloads")
    name_address(page, f"{host.address}/large.gguf", hashlib.sha256(LARGE).hexdigest())
    expect(page.locator("#incoming-words")).to_contain_text("are already here")
    load(page)
    expect(page.locator("#incoming-title")).to_have_text("large is saved")
    assert host.ranges == [came]
    digest = hashlib.sha256(LARGE).hexdigest()
    expect(page.locator("#incoming-digest")).to_have_text(digest)
    page.evaluate("location.hash = 'panel=write'")
    expect(page.locator("#model")).to_have_value("large")
    assert write(page)
    # Dropped, nothing is left of it.
    page.evaluate("location.hash = 'panel=machine'")
    page.get_by_role("button", name="Remove large").click()
    expect(page.locator("#machine-outcome")).to_contain_text("large is removed")
    assert page.evaluate(PIECES) == 0


@pytest.fixture(scope="module")
def bring(visit: Page) -> Page:
    """A page with its engine, for the tests that leave nothing behind."""
    visit.goto("/")
    expect(visit.locator("#metrics")).to_be_visible()
    return visit


def test_what_does_not_fit_is_said_before_it_is_fetched(bring: Page, host: Host) -> None:
    host.ranges.clear()
    name_address(bring, f"{host.address}/huge.gguf")
    expect(bring.locator("#incoming-memory")).to_contain_text("It does not fit: it takes 3.")
    expect(bring.get_by_role("button", name="Load anyway")).to_be_visible()
    assert host.ranges == []
    for scheme in ("light", "dark"):
        bring.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(bring, "#incoming") == []
    for width in (360, 1440):
        bring.set_viewport_size({"width": width, "height": 800})
        assert too_wide(bring) == []
    bring.get_by_role("button", name="Cancel").click()
    expect(bring.locator("#incoming")).to_be_hidden()


def test_a_model_is_loaded_while_it_comes_and_the_one_before_stands(
    context: BrowserContext, host: Host
) -> None:
    tab = Tab(context)
    page = tab.open()
    words = page.locator("#incoming-words")
    with host.holding() as end:
        name_address(page, f"{host.address}/large.gguf")
        load(page)
        expect(words).to_have_text(LOADING)
        assert before_stands(page)
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#incoming")).to_be_hidden()
        assert before_stands(page)
        name_address(page, f"{host.address}/large.gguf")
        load(page)
        expect(words).to_have_text(LOADING)
        end.set()
        expect(page.locator("#incoming-title")).to_have_text("large is saved")
    page.evaluate("location.hash = 'panel=write'")
    expect(page.locator("#model")).to_have_value("large")
    page.locator("#seed").evaluate(SEVEN)
    first = write(page)
    assert first
    # What came by pieces is what lies in the store.
    page.reload()
    expect(page.locator("#metrics")).to_be_visible()
    page.locator("#model").select_option("large")
    expect(page.locator("#metrics")).to_be_visible()
    page.locator("#seed").evaluate(SEVEN)
    assert write(page) == first
    assert tab.wrong == []


def test_a_large_model_makes_room_and_is_back_where_the_next_does_not_come(
    context: BrowserContext, host: Host, tmp_path: Path
) -> None:
    page = Tab(context).open()
    spec = TinySpec("F32", dim=512, hidden_dim=2048, n_layers=5, n_heads=8, head_dim=64, seed=42)
    (tmp_path / "first.gguf").write_bytes(make(spec))
    page.set_input_files("#model-file", tmp_path / "first.gguf")
    load(page)
    expect(page.locator("#incoming-title")).to_have_text("first is saved")
    expect(page.locator("#metrics")).to_be_visible()
    first = write(page)
    with host.holding():
        name_address(page, f"{host.address}/large.gguf")
        load(page)
        expect(page.locator("#incoming-words")).to_have_text(LOADING)
        page.evaluate("location.hash = 'panel=write'")
        expect(page.locator("#metrics")).to_be_hidden()
        page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#metrics")).to_be_visible()
    expect(page.locator("#model")).to_have_value("first")
    page.locator("#regenerate").click()
    expect(page.locator("#outcome")).to_contain_text("token")
    assert page.locator("#written").text_content() == first


@pytest.mark.parametrize("half_way", [False, True], ids=["known before", "half-way"])
def test_without_room_a_model_from_an_address_is_used_and_not_kept(
    context: BrowserContext, server: str, host: Host, half_way: bool
) -> None:
    page = short_of_room(context, server, 12 << 20, half_way=half_way)
    name_address(page, f"{host.address}/large.gguf")
    load(page)
    expect(page.locator("#incoming-title")).to_have_text("large is not saved")
    words = page.locator("#incoming-words")
    expect(words).to_contain_text("no space to save large")
    expect(words).to_contain_text("until you open another model")
    page.evaluate("location.hash = 'panel=write'")
    expect(page.locator("#model")).to_have_value("large")
    assert write(page)
    assert page.evaluate(PIECES) == 0
    page.locator("#model").select_option("story")
    assert before_stands(page)


@pytest.mark.parametrize(
    ("file", "digest", "words"),
    [
        ("large.gguf", "0" * 64, "its SHA-256 is "),
        ("other.gguf", "", "is not a GGUF file"),
    ],
    ids=["digest", "format"],
)
def test_another_file_than_was_meant_is_refused(
    bring: Page, host: Host, file: str, digest: str, words: str
) -> None:
    name_address(bring, f"{host.address}/{file}", digest)
    if digest:
        load(bring)
    expect(bring.locator("#incoming-words")).to_contain_text(words)
    expect(bring.locator("#incoming-title")).to_have_text(f"{file} was not saved")
    assert bring.evaluate(PIECES) == 0
    assert before_stands(bring)


def test_what_is_no_address_is_told_where_it_was_written(bring: Page) -> None:
    name_address(bring, "tiny")
    expect(bring.locator("#incoming-words")).to_contain_text("Tiny is not an address")
    name_address(bring, "https://example.org/a.gguf", "abc")
    expect(bring.locator("#incoming-words")).to_contain_text("Abc is not a SHA-256")


def test_a_small_file_is_loaded_as_soon_as_it_is_dropped(bring: Page) -> None:
    bring.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "dropped.gguf"));
          document.querySelector("main").dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        list(TINY),
    )
    expect(bring.locator("#incoming-title")).to_have_text("dropped is saved")
    bring.evaluate("location.hash = 'panel=write'")
    assert write(bring)


def test_the_parts_of_a_model_are_one_when_they_are_dropped_together(
    bring: Page, parts: dict[str, bytes]
) -> None:
    bring.evaluate(
        """(files) => {
          const data = new DataTransfer();
          for (const [name, bytes] of files.reverse()) {
            data.items.add(new File([new Uint8Array(bytes)], name));
          }
          document.querySelector("main").dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [[name, [*data]] for name, data in parts.items()],
    )
    expect(bring.locator("#incoming-title")).to_have_text("m is saved")
    digest = hashlib.sha256(whole(parts)).hexdigest()
    expect(bring.locator("#incoming-digest")).to_have_text(digest)
    bring.evaluate("location.hash = 'panel=write'")
    assert write(bring)


def test_the_first_parts_address_brings_all_of_them(
    bring: Page, host: Host, parts: dict[str, bytes]
) -> None:
    host.files.update(parts)
    host.ranges.clear()
    first, second, _ = parts
    digest = hashlib.sha256(whole(parts)).hexdigest()
    name_address(bring, f"{host.address}/{first}", digest)
    expect(bring.locator("#incoming-kind")).to_contain_text("llama")
    assert host.ranges == []
    expect(bring.locator("#incoming-size")).to_have_text(f"{len(whole(parts)) / 1e6:.1f} MB")
    load(bring)
    expect(bring.locator("#incoming-title")).to_have_text("m is saved")
    expect(bring.locator("#incoming-digest")).to_have_text(digest)
    assert len(host.ranges) == 3
    assert all(host.ranges)  # behind their own headers
    bring.evaluate("location.hash = 'panel=write'")
    assert write(bring)

    del host.files[second]
    name_address(bring, f"{host.address}/{first}")
    expect(bring.locator("#incoming-words")).to_contain_text("404")


def test_a_model_is_made_smaller_measured_and_used(bring: Page) -> None:
    bring.evaluate("location.hash = 'panel=write'")
    bring.locator("#model").select_option("story")
    expect(bring.locator("#metrics")).to_be_visible()
    bring.evaluate("location.hash = 'panel=machine'")
    kinds = bring.get_by_label("Weights as")
    kinds.select_option("Q4_0")
    offered = kinds.locator("option").all_inner_texts()
    assert not {"F32", "F16", "BF16", "Q8_0"} & set(offered)  # it is Q8_0 already
    bring.get_by_role("button", name="Quantize", exact=True).click()
    expect(bring.locator("#smaller-outcome")).to_contain_text("Done.")
    expect(bring.locator("#smaller-warning")).to_contain_text("rounded to Q8_0 before")
    rows = [row.split("\t") for row in bring.locator("#smaller-rows tr").all_inner_texts()]
    (_, large, before), (_, small, after) = rows
    assert float(small.split()[0]) < 0.7 * float(large.split()[0])
    assert 0.3 < float(before) < float(after) < 1.5
    with bring.expect_download() as download:
        bring.get_by_role("button", name="Download").click()
    made = thimble.load(download.value.path())
    text = bring.locator("#smaller-text").input_value()
    found = thimble.evaluate_text(made, [text]).bits_per_byte
    assert f"{found:.4f}" == after
    bring.get_by_role("button", name="Use it now").click()
    expect(bring.locator("#smaller-outcome")).to_contain_text("chosen in Write")
    bring.evaluate("location.hash = 'panel=write'")
    expect(bring.locator("#model")).to_have_value("story-q4_0")
    assert write(bring)
    bring.evaluate("location.hash = 'panel=machine'")
    assert violations(bring, "[data-panel=machine]") == []
