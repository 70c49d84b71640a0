"""The bench's own parts: its models, its figures, its chart. Nothing is timed here."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import thimble
from bench import chart, goals, kernel_names, models, onnx_models, profile, report
from bench.__main__ import DOCS, parse
from bench.models import ENCODINGS, SHAPES
from bench.native import measure
from bench.results import Limit, Memory, Micro, Profile, Rate, Results, Start
from thimble import gguf

TINY = SHAPES["0.26M"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.ensure(tmp_path_factory.mktemp("models"), TINY, ENCODINGS["Q4_0"])


def sample(prompt_ms: float, tokens: int, decode_ms: float) -> dict[str, float]:
    return {"promptTokens": 128, "promptMs": prompt_ms, "tokens": tokens, "decodeMs": decode_ms}


def recorded() -> Results:
    """A run in which Thimble decodes ten times as fast as wllama, and has no threads yet."""
    ours = [sample(64, 129, ms) for ms in (128, 100, 160)]
    theirs = [sample(640, 129, ms) for ms in (1280, 1300, 1200)]
    visits = [{"firstToken": 900.0, "bytes": 7_000_000, "stages": {}, "stored": []}]
    return Results(
        about={
            "made": "today", "command": "make bench", "load": [0.1, 0.4],
            "machine": {"cpu": "a | b", "cores": 2, "system": "Linux"},
            "versions": {"thimble": "0"}, "kernels": {"sources": "0" * 64},
        },
        rates=[
            Rate("15M", "Q8_0", "thimble", 1, ours),
            Rate("15M", "Q8_0", "wllama", 1, theirs),
            Rate("110M", "Q8_0", "thimble", 1, ours),
            Rate("110M", "Q8_0", "thimble", 2, missing="not there yet"),
        ],
        starts=[
            Start("thimble", "story", 1, visits),
            Start("thimble", "story", 2, visits),
            Start("pyodide", "story", 1, visits),
            Start("wllama", "story", 2, missing="it did not answer"),
        ],
        memory=[
            Memory("pyodide", "", "", [60_000_000]),
            Memory("thimble", "110M", "Q8_0", [250_000_000]),
        ],
        limits=[Limit("page", "read", [8e9]), Limit("page", "products", [3e10])],
        micro=[Micro("page", "Q8_0", 768, 288, 1, 248_832, [2e10])],
        profiles=[
            Profile("15M", "Q8_0", ours[0], {"kernels": 0.9}, [["kernels", "tk_matmul", 0.8]])
        ],
        models={
            "15M Q8_0": {"bytes": 16_000_000},
            "110M Q8_0": {"bytes": 100_000_000, "cache_bytes": 75_000_000},
        },
    )  # fmt: skip


def row(results: Results, what: str, goal: str = "") -> goals.Row:
    (found,) = [
        one for one in goals.rows(results) if one.what.startswith(what) and goal in one.goal
    ]
    return found


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=lambda one: one.name)
def test_a_random_model_is_a_model(tmp_path: Path, encoding: models.Encoding) -> None:
    path = models.ensure(tmp_path, TINY, encoding)
    header = gguf.read_file_header(path)
    assert sum(tensor.n_elements for tensor in header.tensors) == TINY.parameters
    model = thimble.load(path)
    assert (model.config.n_layers, model.config.n_kv_heads) == (TINY.layers, TINY.kv_heads)
    model.close()


def test_a_random_model_is_written_once(tmp_path: Path) -> None:
    path = models.ensure(tmp_path, TINY, ENCODINGS["Q8_0"])
    written, before = path.read_bytes(), path.stat().st_mtime_ns
    assert models.ensure(tmp_path, TINY, ENCODINGS["Q8_0"]).stat().st_mtime_ns == before
    path.unlink()
    assert models.ensure(tmp_path, TINY, ENCODINGS["Q8_0"]).read_bytes() == written


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda one: one.name)
def test_shapes_fit_the_block_formats(shape: models.Shape) -> None:
    assert all(cols % models.BLOCK == 0 for _, cols in shape.matrices.values())
    assert shape.dim % shape.heads == 0 and shape.heads % shape.kv_heads == 0
    assert float(shape.name.rstrip("M")) == pytest.approx(shape.parameters / 1e6, rel=0.1)


@pytest.mark.parametrize("size", [512, 32_000])
def test_a_vocabulary_has_no_piece_twice(size: int) -> None:
    pieces = models.vocabulary(size)
    assert len(set(pieces)) == len(pieces) == size


def test_a_prompt_has_the_tokens_that_it_says(tiny: Path) -> None:
    text, ids = models.prompt(TINY.vocab)
    model = thimble.load(tiny)
    assert model.tokenizer.encode(text) == ids
    assert len(ids) == models.PROMPT_TOKENS
    model.close()


def test_a_random_model_never_ends_its_text(tiny: Path) -> None:
    model = thimble.load(tiny)
    params = thimble.SamplingParams(temperature=0.0, max_tokens=300)
    pieces = list(model.session().generate("a b c", params))
    assert len(pieces) == 300 and pieces[-1].finish_reason == "length"
    assert all(piece.id >= models.FIRST_WORD and piece.text for piece in pieces)
    model.close()


def test_a_native_sample_counts_what_came() -> None:
    found = measure(lambda prompt, tokens: iter(range(tokens)), [1, 2, 3], 7)
    assert (found["promptTokens"], found["tokens"]) == (3, 7)


def test_the_onnx_model_has_heads_that_the_runtime_takes() -> None:
    for shape in SHAPES.values():
        made = onnx_models.allowed(shape)
        assert made.head_dim % onnx_models.HEAD_MULTIPLE == 0
        assert (made.kv_dim, made.parameters) == (shape.kv_dim, shape.parameters)


def test_the_onnx_model_is_written_with_its_description(tmp_path: Path) -> None:
    made = onnx_models.ensure(tmp_path, TINY, ENCODINGS["Q4_0"])
    config = json.loads((made / "config.json").read_bytes())
    assert config["num_hidden_layers"] == TINY.layers
    file = (made / "onnx" / "model.onnx").read_bytes()
    assert all(f"present.{layer}.key".encode() in file for layer in range(TINY.layers))


def frame(name: str, url: str = "") -> dict[str, Any]:
    return {"functionName": name, "url": url}


def test_a_profile_is_summed_by_place_without_waiting() -> None:
    frames = [
        frame("(idle)"), frame("wasm-function[5]", "wasm://a"), frame("postMessage"),
        frame("wasm-function[6000]", "wasm://b"), frame("wasm-function[0]", "wasm://c"),
        frame("", "http://here/worker.js"),
    ]  # fmt: skip
    found = profile.spent(
        {
            "nodes": [{"id": at, "callFrame": one} for at, one in enumerate(frames)],
            "samples": [0, 1, 2, 3, 4, 5, 1],
            "startTime": 0,
            "timeDeltas": [900, 30, 10, 20, 10, 5, 25],
        },
        {5: "tk_matmul"},
    )
    assert found["kernels", "tk_matmul"] == 0.55
    assert found["JavaScript", "(anonymous)"] == 0.05
    assert profile.by_place(found) == {
        "kernels": 0.55, "Python": 0.2, "messages": 0.1, "calls": 0.1, "JavaScript": 0.05,
    }  # fmt: skip


def test_function_names_are_read_from_a_module() -> None:
    def part(kind: int, content: bytes) -> bytes:
        return bytes([kind, len(content)]) + content

    named = part(kernel_names.FUNCTION_NAMES, b"\x02\x00\x02tk\x07\x01x")
    module = b"\0asm\1\0\0\0" + part(10, b"\x00") + part(0, b"\x04name" + named)
    assert kernel_names.names(module) == {0: "tk", 7: "x"}
    assert kernel_names.code(module) == b"\x00"
    assert kernel_names.names(module[:11]) == {}


def test_a_rate_is_the_median_of_its_samples() -> None:
    found = recorded().rate("15M", "Q8_0", "thimble")
    assert found is not None and found.decode is not None and found.prompt is not None
    assert (found.decode.median, found.decode.low, found.decode.high) == (1000, 800, 1280)
    assert found.prompt.median == 2000


def test_a_goal_is_met_by_the_ratio_of_medians() -> None:
    met = row(recorded(), "decode 15M Q8_0", "7 × wllama")
    assert met.met and met.reached == pytest.approx(10 / 7) and "10.00 ×" in met.measured
    assert row(recorded(), "first visit").met
    assert row(recorded(), "bytes").missing == "not measured in this run"


def test_memory_is_held_against_the_file_the_cache_and_python() -> None:
    found = row(recorded(), "peak memory")
    assert found.met and found.measured == "250 MB of 250 MB"


def test_what_is_not_there_is_reported_in_its_own_words() -> None:
    assert row(recorded(), "two threads").missing == "not there yet"
    assert row(recorded(), "second visit, the same").missing == "wllama: it did not answer"
    assert "no snapshot yet" in row(recorded(), "second visit, from").measured
    assert row(recorded(), "decode 110M Q4_0").met is None


def test_a_snapshot_is_noticed_in_the_browsers_storage() -> None:
    results = recorded()
    start = results.start("thimble", 2)
    assert start is not None
    start.samples[0]["stored"] = ["cache thimble-snapshot"]
    assert "with a snapshot" in row(results, "second visit, from").measured


def test_results_survive_their_file(tmp_path: Path) -> None:
    recorded().save(tmp_path / "results.json")
    assert report.text(Results.load(tmp_path / "results.json")) == report.text(recorded())


def test_every_table_has_even_rows() -> None:
    for title, table in report.tables(recorded()):
        assert len({len(cells) for cells in table}) == 1, title


def test_a_rate_stands_beside_its_peers_and_what_lacks_says_why() -> None:
    assert report.rate_table(recorded(), "decode") == [
        ("model", "threads", "Thimble", "wllama"),
        ("15M Q8_0", "1", "1,000 (800–1,280)", "100 (98.5–107)"),
        ("110M Q8_0", "1", "1,000 (800–1,280)", ""),
        ("110M Q8_0", "2", "–", ""),
    ]
    words = report.text(recorded())
    assert "Not measured: Thimble, threads: 2: not there yet (110M Q8_0)." in words


def test_tables_that_the_page_leaves_out_are_in_the_text() -> None:
    for title in ("Kernels", "Its largest functions", *report.SHOWN):
        assert f"\n{title}\n" in report.text(recorded())
        assert (f"### {title}" in report.markdown(recorded())) == (title in report.SHOWN)


def test_the_page_keeps_what_people_wrote(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"# Before\n\n{report.MARKS[0]}\nold\n{report.MARKS[1]}\n\nAfter\n")
    report.write_page(page, recorded())
    report.write_page(page, recorded())
    words = page.read_text(encoding="utf-8")
    assert words.startswith("# Before\n") and words.endswith("\nAfter\n") and "old" not in words
    assert words.count("### Goals") == 1 and "| yes |" in words


def test_a_page_without_a_place_for_figures_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no place for the figures"):
        report.write_page(page, recorded())


def test_the_chart_is_a_picture_with_a_bar_for_every_rate() -> None:
    root = ElementTree.fromstring(chart.chart(recorded()))
    bars = [one for one in root.iter() if one.tag.endswith("rect")]
    assert len(bars) == 3
    width = float(root.attrib["width"])
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width for bar in bars)


def test_published_figures_are_what_the_page_and_the_chart_show() -> None:
    if not (DOCS / "results.json").is_file():
        pytest.skip("no full run has been published yet")
    results = Results.load(DOCS / "results.json")
    assert report.markdown(results) in (DOCS / "README.md").read_text(encoding="utf-8")
    assert (DOCS / "tables.txt").read_text(encoding="utf-8") == report.text(results) + "\n"
    assert (DOCS / "chart.svg").read_text(encoding="utf-8") == chart.chart(results)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--models", "7B"], "7B"), (["--encodings", "Q9"], "Q9"), (["--only", "luck"], "luck")],
)
def test_an_unknown_choice_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert words in capsys.readouterr().err


def test_a_quick_run_leaves_the_largest_model_out() -> None:
    options: Any = parse(["--quick"])
    assert [shape.name for shape in options.shapes] == ["0.26M", "15M"] and options.runs == 2
