"""The command line: what its subcommands do and print. What they refuse: test_cli_errors.py."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import thimble
from tests.command_line import Capture, run_failing, run_json, type_in
from tests.tiny_models import SPECS, make, write
from thimble.cli import COMMANDS, main, progress
from thimble.kernel import default_kernel
from thimble.reference import ReferenceModel
from thimble.session import Session


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def bpe(folder: Path) -> str:
    """A model with a byte-level vocabulary and a chat template."""
    return str(write(folder / "bpe.gguf", SPECS["q8_0-tied"]))


@pytest.fixture(scope="module")
def spm(folder: Path) -> str:
    """A model with a SentencePiece vocabulary."""
    return str(write(folder / "spm.gguf", SPECS["spm"]))


# generate


def test_generate_streams_what_the_session_writes(bpe: str, capsys: Capture) -> None:
    argv = ["generate", bpe, "--prompt", "Mia had", "--max-tokens", "12", "--seed", "7"]
    assert main([*argv, "--temperature", "0.7", "--top-k", "20"]) == 0
    params = thimble.SamplingParams(max_tokens=12, seed=7, temperature=0.7, top_k=20)
    chunks = thimble.load(bpe).session().generate("Mia had", params)
    assert capsys.readouterr().out == "".join(p.text for p in chunks) + "\n"


def test_generate_json_has_what_a_program_wants(spm: str, capsys: Capture) -> None:
    argv = ("generate", spm, "--prompt", "Mia", "--max-tokens", "5", "--seed", "3", "--json")
    found = run_json(capsys, *argv, "--top-logprobs", "2", "--top-p", "0.9", "--min-p", "0.01")
    model = thimble.load(spm)
    params = thimble.SamplingParams(max_tokens=5, seed=3, top_logprobs=2, top_p=0.9, min_p=0.01)
    chunks = list(model.session().generate("Mia", params))
    assert found["tokens"] == [p.id for p in chunks]
    assert found["text"] == "".join(p.text for p in chunks)
    assert found["logprobs"] == [p.logprob for p in chunks]
    assert found["finish_reason"] == "length"
    assert found["seed"] == 3
    assert found["prompt_tokens"] == len(model.tokenizer.encode("Mia"))
    assert [[(a["id"], a["logprob"]) for a in at] for at in found["top_logprobs"]] == [
        list(p.top) for p in chunks
    ]
    assert 0 < found["time_to_first_token"] <= found["seconds"]
    assert found["tokens_per_second"] > 0


def test_generate_obeys_bias_stop_and_penalty(bpe: str, capsys: Capture) -> None:
    base = (
        "generate",
        bpe,
        "--prompt",
        "Mia",
        "--temperature",
        "0",
        "--max-tokens",
        "20",
        "--json",
    )
    free = run_json(capsys, *base)
    biased = run_json(capsys, *base, "--logit-bias", f"{free['tokens'][0]}=-inf")
    assert biased["tokens"][0] != free["tokens"][0]
    forced = run_json(capsys, *base, "--logit-bias", "65=1000", "--logit-bias", "66=-1e9")
    assert forced["tokens"] == [65] * 20
    letter = thimble.load(bpe).tokenizer.token_bytes(65).decode()
    stopped = run_json(capsys, *base, "--logit-bias", "65=1000", "--stop", letter * 3)
    assert (stopped["text"], stopped["finish_reason"]) == ("", "stop")
    penalised = run_json(capsys, *base, "--repetition-penalty", "5")
    assert len(set(penalised["tokens"])) > len(set(free["tokens"])) or penalised == free


def test_generate_reads_its_prompt_from_standard_input(
    bpe: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("generate", bpe, "--max-tokens", "4", "--json", "--prompt")
    typed = run_json(capsys, *argv, "café")
    type_in(monkeypatch, "café\n".encode())
    assert run_json(capsys, *argv, "-")["tokens"] == typed["tokens"]


def test_generate_chat_uses_the_files_template(bpe: str, spm: str, capsys: Capture) -> None:
    pytest.importorskip("jinja2")
    argv = ("--prompt", "Hello", "--max-tokens", "3", "--json")
    found = run_json(capsys, "generate", bpe, "--chat", *argv)
    model = thimble.load(bpe)
    ids = model.tokenizer.encode(
        "<|user|>\nHello\n<|assistant|>\n", add_special=False, parse_special=True
    )
    assert found["prompt_tokens"] == len(ids)
    line = run_failing(capsys, 1, "generate", spm, "--chat", *argv)
    assert "no chat template" in line


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupt_keeps_the_text(
    as_json: bool, bpe: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, calls = Session.accept, iter(range(100))

    def interrupt(self: Session, token: int) -> None:
        if next(calls) == 5:
            raise KeyboardInterrupt
        accept(self, token)

    argv = ["generate", bpe, "--prompt", "Mia", "--max-tokens", "20", "--logit-bias", "65=1000"]
    monkeypatch.setattr(Session, "accept", interrupt)
    assert main([*argv, *(["--json"] if as_json else [])]) == 130
    out = capsys.readouterr().out
    text = thimble.load(bpe).tokenizer.token_bytes(65).decode() * 5
    if as_json:
        found = json.loads(out)
        assert (found["text"], found["finish_reason"]) == (text, "interrupted")
    else:
        assert out == text + "\n"


def test_no_tokens_are_none(bpe: str, capsys: Capture) -> None:
    found = run_json(capsys, "generate", bpe, "--prompt", "a", "--max-tokens", "0", "--json")
    assert (found["text"], found["tokens"], found["finish_reason"]) == ("", [], "length")
    assert found["time_to_first_token"] is None and found["tokens_per_second"] is None


def test_threads_change_nothing(tmp_path: Path, capsys: Capture) -> None:
    path = str(write(tmp_path / "m.gguf", SPECS["head64"]))
    prompt = "Mia had a little red boat. Every day she took the boat to the pond."
    argv = ("generate", path, "--prompt", prompt, "--max-tokens", "9", "--json", "--threads")
    one, three = run_json(capsys, *argv, "1"), run_json(capsys, *argv, "3")
    assert (one["tokens"], one["logprobs"]) == (three["tokens"], three["logprobs"])
    default_kernel().call("threads", 1)


# tokenize


def test_tokenize_prints_ids_without_special_tokens(spm: str, capsys: Capture) -> None:
    tokenizer = thimble.load(spm).tokenizer
    plain = run_json(capsys, "tokenize", spm, "Mia</s>")
    assert plain == tokenizer.encode("Mia</s>", add_special=False)
    assert run_json(capsys, "tokenize", spm, "Mia</s>", "--add-special") == [1, *plain]
    parsed = run_json(capsys, "tokenize", spm, "Mia</s>", "--special")
    assert parsed[-1] == 2 and 2 not in plain


def test_tokenize_takes_every_byte_of_standard_input(
    bpe: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for argv in (["tokenize", bpe], ["tokenize", bpe, "-"]):
        type_in(monkeypatch, b"a \r\n\n")
        found = run_json(capsys, *argv)
        assert found == thimble.load(bpe).tokenizer.encode("a \r\n\n", add_special=False)


def test_tokenize_gives_llama_cpps_ids(
    shared: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocab = shared / "tokenizers/ggml-vocab-llama-spm.gguf"
    texts = Path(f"{vocab}.inp").read_bytes().split(b"\n__ggml_vocab_test__\n")[:-1]
    expected = Path(f"{vocab}.out").read_text().splitlines()
    for text, ids in list(zip(texts, expected, strict=True))[::6]:
        type_in(monkeypatch, text)
        assert run_json(capsys, "tokenize", str(vocab)) == [int(i) for i in ids.split()]


# eval

STORIES = "Mia had a boat.\n<|endoftext|>\nSam ran in the park.\n<|endoftext|>\n\nAnn was happy."


def test_eval_measures_the_stories_of_a_file(bpe: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "text").write_text(STORIES)
    argv = ("eval", bpe, "--text", str(tmp_path / "text"))
    found = run_json(capsys, *argv, "--json")
    expected = thimble.evaluate_text(thimble.load(bpe), thimble.split_stories(STORIES))
    assert found == {
        "bits_per_byte": expected.bits_per_byte,
        "nats_per_token": expected.nats_per_token,
        "bytes": expected.bytes,
        "tokens": expected.tokens,
        "stories": 3,
    }
    assert run_json(capsys, *argv, "--json", "--stories", "2")["stories"] == 2
    assert main(argv) == 0
    assert f"{expected.bits_per_byte:.4f} bits per byte" in capsys.readouterr().out


def test_eval_of_stories260k_agrees_with_the_reference(shared: Path, capsys: Capture) -> None:
    path, text = shared / "models/stories260K.gguf", shared / "data/tinystories-heldout.txt"
    found = run_json(capsys, "eval", str(path), "--text", str(text), "--stories", "2", "--json")
    reference, tokenizer = ReferenceModel(path), thimble.load(path).tokenizer
    nats, tokens, size = 0.0, 0, 0
    for story in thimble.split_stories(text.read_text())[:2]:
        ids = [1, *tokenizer.encode(story, add_special=False)][:512]
        logits = reference.logits(ids[:-1])
        top = logits.max(axis=-1)
        log_total = top + np.log(np.exp(logits - top[:, None]).sum(axis=-1))
        nats += float(np.sum(log_total - logits[np.arange(len(ids) - 1), ids[1:]]))
        tokens += len(ids) - 1
        size += sum(len(tokenizer.token_bytes(i)) for i in ids[1:])
    assert (found["tokens"], found["bytes"]) == (tokens, size)
    assert found["nats_per_token"] == pytest.approx(nats / tokens, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)


def test_eval_of_stories260k_is_what_it_is_known_to_be(shared: Path, capsys: Capture) -> None:
    path, text = shared / "models/stories260K.gguf", shared / "data/tinystories-heldout.txt"
    found = run_json(capsys, "eval", str(path), "--text", str(text), "--stories", "20", "--json")
    assert found["stories"] == 20
    assert found["bits_per_byte"] == pytest.approx(0.84, abs=0.02)


# quantize


def test_quantize_writes_a_model_that_runs(tmp_path: Path, capsys: Capture) -> None:
    source = write(tmp_path / "f32.gguf", SPECS["f32"])
    target = tmp_path / "q8.gguf"
    assert main(["quantize", str(source), str(target), "--type", "q8_0"]) == 0
    captured = capsys.readouterr()
    assert f"{target.stat().st_size:,} bytes" in captured.out and captured.err == ""
    found = run_json(
        capsys, "generate", str(target), "--prompt", "a", "--max-tokens", "3", "--json"
    )
    assert len(found["tokens"]) == 3


def test_quantize_warns_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    source = write(tmp_path / "q8.gguf", SPECS["q8_0"])
    assert main(["quantize", str(source), str(tmp_path / "q4.gguf"), "--type", "q4_0"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("thimble: warning: the weights were rounded")


def test_quantize_refuses(tmp_path: Path, capsys: Capture) -> None:
    source = str(write(tmp_path / "f32.gguf", SPECS["f32"]))
    out = str(tmp_path / "out.gguf")
    assert "'q9'" in run_failing(capsys, 2, "quantize", source, out, "--type", "q9")
    assert "--type" in run_failing(capsys, 2, "quantize", source, out)
    line = run_failing(capsys, 2, "quantize", source, source, "--type", "q8_0")
    assert "is the file that is read" in line
    assert "nowhere" in run_failing(
        capsys, 1, "quantize", source, str(tmp_path / "nowhere/x"), "--type", "q8_0"
    )


# info


@pytest.mark.parametrize("name", SPECS)
def test_info_knows_the_memory_that_loading_takes(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    path = write(tmp_path / "m.gguf", SPECS[name])
    found = run_json(capsys, "info", str(path), "--json")
    model = thimble.load(path)
    assert found["memory"]["weights"] == model.nbytes
    assert found["parameters"] == model.n_params
    assert found["config"]["n_ctx"] == model.config.n_ctx
    assert found["file_bytes"] == path.stat().st_size
    assert found["tokenizer"]["n_vocab"] == model.config.n_vocab
    assert found["problem"] is None


def test_info_is_readable(bpe: str, capsys: Capture) -> None:
    assert main(["info", bpe]) == 0
    out = capsys.readouterr().out
    for words in ("tiny-q8_0-7", "llama", "gpt2 (gpt-2)", "Q8_0", "256 tokens", "none stated"):
        assert words in out


def test_info_says_why_a_file_does_not_run(tmp_path: Path, capsys: Capture) -> None:
    data = make(SPECS["f32"]).replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0zebra")
    (tmp_path / "m.gguf").write_bytes(data)
    assert main(["info", str(tmp_path / "m.gguf")]) == 0
    assert "no: the architecture 'zebra' does not run here" in capsys.readouterr().out


# The program around it


def test_help_and_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"thimble {thimble.__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command.name in out for command in COMMANDS)
    for command in COMMANDS:
        assert main([command.name, "--help"]) == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_progress_bar_comes_late_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, now = Terminal(), [0.0]
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress.ProgressBar("loading") as bar:
        bar(10, 100)
        assert terminal.getvalue() == "", "nothing in the first two seconds"
        now[0] = 2.5
        bar(50, 100)
        bar(51, 100)
        assert terminal.getvalue().count("\r") == 1, "no more often than ten times a second"
        assert "loading [###############---------------]  50%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_no_progress_bar_without_a_terminal(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DELAY", -1.0)
    with progress.ProgressBar("loading") as bar:
        bar(1, 2)
    assert capsys.readouterr().err == ""


def run_process(*argv: str) -> subprocess.Popen[bytes]:
    package = str(Path(thimble.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "thimble", *argv]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe)


def test_as_a_process_it_speaks_utf8(bpe: str) -> None:
    process = run_process("generate", bpe, "--prompt", "ü", "--max-tokens", "9", "--seed", "2")
    out, err = process.communicate(timeout=60)
    params = thimble.SamplingParams(max_tokens=9, seed=2)
    expected = "".join(p.text for p in thimble.load(bpe).session().generate("ü", params))
    assert (out.decode(), err, process.returncode) == (expected + "\n", b"", 0)


def test_a_broken_pipe_is_silent(bpe: str) -> None:
    process = run_process("generate", bpe, "--prompt", "a", "--max-tokens", "200")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 141
    process.stderr.close()
