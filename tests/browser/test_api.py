"""The public module `/thimble.js`, as other people's pages use it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

import thimble
from tests.browser.api import Api
from tests.browser.conftest import resting
from tests.tiny_blocks import make_blocks
from tests.tiny_folders import converted


def test_availability_goes_from_downloadable_to_available(fresh_api: Api) -> None:
    states = fresh_api("""
      const states = [await Thimble.availability()];
      const creating = Thimble.create();
      while (await Thimble.availability() === "downloadable") {
        await new Promise(requestAnimationFrame);
      }
      states.push(await Thimble.availability());
      await creating;
      states.push(await Thimble.availability(), await Thimble.availability({ model: "no such" }));
      return states;
    """)
    assert states == ["downloadable", "downloading", "available", "unavailable"]


def test_a_monitor_hears_the_download_from_nothing_to_all(fresh_api: Api) -> None:
    events = fresh_api("""
      const events = [];
      await Thimble.create({ monitor(monitor) {
        monitor.addEventListener("downloadprogress", (event) => {
          const { loaded, total, bytes, totalBytes, stage } = event;
          events.push({ loaded, total, bytes, totalBytes, stage });
        });
      } });
      return events;
    """)
    loaded = [event["loaded"] for event in events]
    assert loaded == sorted(loaded)
    assert loaded[0] < 0.1
    assert events[-1] == {**events[-1], "loaded": 1, "total": 1, "stage": "ready"}
    assert events[-1]["bytes"] == events[-1]["totalBytes"]
    stages = [event["stage"] for event in events]
    assert stages == sorted(stages, key=["download", "python", "model", "ready"].index)


def test_a_model_comes_by_its_address(api: Api, server: str) -> None:
    listed = httpx.get(f"{server}/build.json").json()["models"]
    (names,) = [one for one in listed if one["name"] == "names"]
    texts, states, failures = api(
        """
      const { file, digest } = argument;
      const options = { seed: 7, max_tokens: 20 };
      const before = await Thimble.availability({ model: file });
      const texts = [];
      for (const model of ["names", file, `${file}#sha256=${digest}`]) {
        texts.push(await (await Thimble.create({ model })).prompt("a", options));
      }
      const after = await Thimble.availability({ model: file });
      const failures = [];
      for (const model of [
        "http://example.org/a.gguf", "hf.co/user/repository",
        `${file}-00001-of-00002.gguf`, `${file}?other#sha256=${"0".repeat(64)}`,
        `${file}x`,
      ]) failures.push(await failure(Thimble.create({ model })));
      return [texts, [before, after], failures];
    """,
        {"file": f"{server}/{names['file']}", "digest": names["sha256"]},
    )
    assert len(texts[0]) > 3 and texts == [texts[0]] * 3
    assert states == ["downloadable", "available"]
    told = [(one["name"], one["message"]) for one in failures]
    assert [name for name, _ in told] == [*["OptionError"] * 3, "FormatError", "LoadError"]
    for (_, message), word in zip(told, ("http://", "names no file", "parts", "SHA-256", "404"),
                                  strict=True):  # fmt: skip
        assert word in message


def test_the_same_seed_gives_the_same_text_streamed_or_not(api: Api) -> None:
    whole, streamed, other = api("""
      const session = await Thimble.create({ temperature: 0.8 });
      const options = { seed: 7, max_tokens: 60 };
      return [
        await session.prompt("Once upon a time", options),
        (await collect(session.promptStreaming("Once upon a time", options))).join(""),
        await session.prompt("Once upon a time", { ...options, seed: 8 }),
      ];
    """)
    assert whole
    assert streamed == whole
    assert other != whole


def test_chunks_tell_every_token(api: Api) -> None:
    text, chunks, ids = api("""
      const session = await Thimble.create();
      const options = { seed: 3, max_tokens: 40, temperature: 0.5 };
      const text = await session.prompt("A dog", options);
      const chunks = await collect(session.promptStreaming(
        "A dog", { ...options, logprobs: true, top_logprobs: 5 }));
      return [text, chunks, await session.tokenize("A dog")];
    """)
    assert "".join(chunk["text"] for chunk in chunks) == text
    assert [chunk["finish_reason"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["finish_reason"] in ("stop", "length")
    assert len(chunks) <= 40
    for chunk in chunks:
        assert chunk["logprob"] <= 0
        assert chunk["entropy"] >= 0
        best = [one["logprob"] for one in chunk["top_logprobs"]]
        assert len(best) == 5
        assert best == sorted(best, reverse=True)
        assert chunk["logprob"] <= best[0] + 1e-6
    assert ids
    assert all(isinstance(one, int) for one in ids)


def test_defaults_given_to_create_hold_and_can_be_overruled(api: Api) -> None:
    counts = api("""
      const session = await Thimble.create({ max_tokens: 5, seed: 1 });
      const count = async (options) => (await collect(
        session.promptStreaming("Once", { ...options, logprobs: true }))).length;
      return [await count({}), await count({ max_tokens: 9 })];
    """)
    assert counts == [5, 9]


def test_continue_keeps_what_is_there(api: Api) -> None:
    half, rest, whole, usage, window = api("""
      const session = await Thimble.create({ seed: 5 });
      const half = await session.prompt("Once upon a time", { max_tokens: 10 });
      const rest = await session.prompt("", { max_tokens: 10, continue: true });
      const usage = session.contextUsage;
      const whole = await session.prompt("Once upon a time", { max_tokens: 20 });
      return [half, rest, whole, [usage, session.contextUsage], session.contextWindow];
    """)
    assert half + rest == whole
    assert usage[0] == usage[1]
    assert 20 < usage[0] <= window


def test_a_clone_goes_its_own_way(api: Api) -> None:
    mine, its, same = api("""
      const session = await Thimble.create({ max_tokens: 12 });
      await session.prompt("Once upon a time", { seed: 1 });
      const clone = await session.clone();
      const same = clone.contextUsage === session.contextUsage;
      const [mine, its] = await Promise.all([
        session.prompt("", { continue: true, seed: 2 }),
        clone.prompt("", { continue: true, seed: 2 })]);
      session.destroy();
      await clone.prompt("", { continue: true });
      return [mine, its, same];
    """)
    assert same
    assert mine == its


def test_sessions_write_at_the_same_time_in_one_worker(fresh_api: Api) -> None:
    together, alone = fresh_api("""
      const sessions = await Promise.all([1, 2, 3].map(() => Thimble.create({ max_tokens: 50 })));
      const write = (session, seed) => session.prompt("Once upon a time", { seed });
      const together = await Promise.all(sessions.map(write));
      const alone = [];
      for (const [seed, session] of sessions.entries()) alone.push(await write(session, seed));
      return [together, alone];
    """)
    assert together == alone
    # The engine, and maybe the one that makes the snapshot for the next visit.
    assert len(fresh_api.page.workers) <= 2


def test_prompts_to_one_session_take_turns(api: Api) -> None:
    together, alone = api("""
      const session = await Thimble.create({ max_tokens: 20, seed: 4 });
      const prompts = ["A cat", "A dog", "A bird"];
      const together = await Promise.all(prompts.map((prompt) => session.prompt(prompt)));
      const alone = [];
      for (const prompt of prompts) alone.push(await session.prompt(prompt));
      return [together, alone];
    """)
    assert together == alone


def test_an_abort_rejects_and_the_session_goes_on(api: Api) -> None:
    api("await Thimble.create();")  # now the engine is there
    with resting(api.page):
        error, reason, after, text = aborted(api)
    assert error["name"] == "AbortError"
    assert error["dom"]
    assert reason["message"] == "tired"
    assert text
    # The reader had every token that the session has, so the text goes on without a gap.
    assert after


def aborted(api: Api) -> Any:
    """What a text that is aborted after its first token gives, and what the session does then."""
    return api("""
      const session = await Thimble.create({ seed: 1, max_tokens: 400, temperature: 0.8 });
      const abort = new AbortController();
      const stream = session.promptStreaming("Once upon a time", { signal: abort.signal });
      const reader = stream.getReader();
      let text = (await reader.read()).value;
      abort.abort();
      const error = await failure((async () => {
        for (;;) { const { done, value } = await reader.read(); if (done) return; text += value; }
      })());
      const usage = session.contextUsage;
      const rest = await session.prompt("", { continue: true, max_tokens: 5 });
      const all = await session.prompt("Once upon a time", { max_tokens: usage });
      const reason = await failure(session.prompt("x", { signal: AbortSignal.abort("tired") })
        .catch((why) => { throw new Error(why); }));
      return [error, reason, all.startsWith(text + rest.slice(0, 1)), text];
    """)


def test_cancelling_the_stream_stops(api: Api) -> None:
    usage = api("""
      const session = await Thimble.create({ max_tokens: 100000, temperature: 1 });
      const reader = session.promptStreaming("Once upon a time").getReader();
      await reader.read();
      await reader.cancel();
      await session.prompt("Hi", { max_tokens: 1 });
      return session.contextUsage;
    """)
    assert usage < 10


def test_create_can_be_aborted_while_it_loads(fresh_api: Api) -> None:
    error, text = fresh_api("""
      const abort = new AbortController();
      const error = failure(Thimble.create({ signal: abort.signal, monitor(monitor) {
        monitor.addEventListener("downloadprogress", () => abort.abort());
      } }));
      const other = Thimble.create();
      return [await error, await (await other).prompt("Hi", { max_tokens: 3 })];
    """)
    assert error["name"] == "AbortError"
    assert text


def test_a_destroyed_session_rejects(api: Api) -> None:
    errors = api("""
      const session = await Thimble.create();
      const running = failure(session.prompt("Once upon a time", { max_tokens: 100000 }));
      session.destroy();
      session.destroy();
      return [await running, await failure(session.prompt("x")),
        await failure(session.tokenize("x")), await failure(session.clone())];
    """)
    assert [error["name"] for error in errors] == ["InvalidStateError"] * 4


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"temprature": 1}, "OptionError", "temprature"),
        ({"temperature": -1}, "OptionError", "-1"),
        ({"temperature": "hot"}, "OptionError", "hot"),
        ({"top_p": 1.5}, "OptionError", "1.5"),
        ({"top_k": 2.5}, "OptionError", "2.5"),
        ({"max_tokens": -1}, "OptionError", "-1"),
        ({"stop": [""]}, "OptionError", "stop"),
        ({"stop": 5}, "OptionError", "5"),
        ({"logit_bias": {"99999999": 1}}, "OptionError", "99999999"),
        ({"logit_bias": [1]}, "OptionError", "logit_bias"),
        ({"seed": None}, "OptionError", "seed"),
        ({"top_logprobs": 1000}, "OptionError", "1000"),
        ({"continue": "yes"}, "OptionError", "yes"),
    ],
)
def test_a_wrong_option_rejects_and_says_what_is_wrong(
    api: Api, options: dict[str, object], name: str, words: str
) -> None:
    error, text = api(
        """
      const session = await Thimble.create();
      const error = await failure(session.prompt("Hi", argument));
      return [error, await session.prompt("Hi", { max_tokens: 2 })];
    """,
        options,
    )
    assert error["name"] == name
    assert error["ours"]
    assert words in error["message"]
    assert text


def test_wrong_options_of_create_reject(api: Api) -> None:
    errors = api("""return [
      await failure(Thimble.create({ topk: 3 })),
      await failure(Thimble.create({ temperature: NaN })),
      await failure(Thimble.create({ model: "nobody" })),
      await failure(Thimble.create({ model: 7 })),
      await failure(Thimble.create({ continue: true })),
    ]""")
    assert [error["name"] for error in errors] == ["OptionError"] * 5
    for error, words in zip(errors, ("topk", "nan", "nobody", "7", "continue"), strict=True):
        assert words in error["message"].lower()


def test_stop_strings_and_bias_are_obeyed(api: Api) -> None:
    text, first = api("""
      const session = await Thimble.create({ seed: 2, temperature: 0 });
      const long = await session.prompt("Once upon a time", { max_tokens: 60 });
      const stop = long.slice(20, 24);
      const text = await session.prompt("Once upon a time", { max_tokens: 60, stop });
      const [chunk] = await collect(session.promptStreaming("Once", {
        max_tokens: 1, logprobs: true, logit_bias: { 300: 1000 } }));
      return [[long, stop, text], chunk.id];
    """)
    long, stop, short = text
    assert short == long[: long.index(stop)]
    assert first == 300


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("", "FormatError"),
        ("not a model at all", "FormatError"),
        ("GGUF\x03\x00\x00\x00", "FormatError"),
        ("GGUF\x63\x00\x00\x00" + "\x00" * 64, None),
        ("GGUF\x03\x00\x00\x00" + "\x7f" * 64, None),
    ],
)
def test_a_file_that_is_no_model_rejects_and_the_engine_lives(
    api: Api, content: str, name: str | None
) -> None:
    error, text = api(
        """
      const file = new File([Uint8Array.from(argument, (one) => one.charCodeAt(0))], "mine.gguf");
      const error = await failure(Thimble.create({ model: file }));
      const session = await Thimble.create();
      return [error, await session.prompt("Hi", { max_tokens: 2 })];
    """,
        content,
    )
    assert error["ours"]
    assert error["name"] == (name or error["name"])
    assert error["message"]
    assert text


def test_a_model_from_a_file_writes_what_the_same_model_from_the_site_writes(
    api: Api, server: str, site: Path
) -> None:
    mine, theirs, name = api(
        """
      const { models } = await (await fetch(`${argument}/models.json`)).json();
      const [listed] = models.filter((model) => model.default);
      const blob = await (await fetch(`${argument}/${listed.url}`)).blob();
      const options = { max_tokens: 20, seed: 6 };
      const session = await Thimble.create({ model: new File([blob], "mine.gguf") });
      return [await session.prompt("A", options),
        await (await Thimble.create()).prompt("A", options), session.model.name];
    """,
        server,
    )
    assert mine == theirs
    assert "mine.gguf" in name


def test_an_encoder_of_ones_own_gives_vectors_and_says_that_it_writes_nothing(api: Api) -> None:
    data = converted("gemma-embedding", "f32")
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    native = loader.finish().embed("A small red fish.")
    vectors, ids, error, copied, text = api(
        """
      const bytes = Uint8Array.from(atob(argument), (one) => one.charCodeAt(0));
      const session = await Thimble.create({ model: new File([bytes], "encoder.gguf") });
      const text = "A small red fish.";
      const vectors = (await session.embed([text, "Two."])).map((vector) => [...vector]);
      const ids = await session.tokenize(text);
      const error = await failure(session.prompt("Once"));
      const copy = await session.clone();
      const copied = [...await copy.embed(text)];
      session.destroy();
      copy.destroy();
      const writer = await Thimble.create();
      return [vectors, ids, error, copied, await writer.prompt("Hi", { max_tokens: 2 })];
    """,
        base64.b64encode(data).decode(),
    )
    assert vectors[0] == copied == native.tolist()
    assert len(vectors[1]) == len(native)
    assert ids
    assert error["name"] == "UnsupportedError"
    assert "is an encoder: it gives vectors (embed), and writes no text" in error["message"]
    assert text


def test_odd_text_is_no_trouble(api: Api) -> None:
    results, half = api("""
      const session = await Thimble.create({ max_tokens: 3, seed: 1 });
      const odd = ["", "\\0", "👩‍👩‍👧 é ﷽", "a".repeat(200)];
      const results = [];
      for (const text of odd) {
        results.push(typeof await session.prompt(text), (await session.tokenize(text)).length >= 0);
      }
      return [results, await failure(session.prompt("\\ud800 alone"))];
    """)
    assert results == ["string", True] * 4
    assert half["name"] == "OptionError"
    assert "D800" in half["message"]


def test_the_worker_tells_a_hash_of_its_logits(api: Api) -> None:
    first, again, other = api("""
      const session = await Thimble.create();
      return [await session.logitsHash([1, 2, 3]), await session.logitsHash([1, 2, 3]),
        await session.logitsHash([1, 2, 4])];
    """)
    assert len(first) == 64
    assert first == again != other


def test_tables_that_few_models_need_are_fetched_for_them(fresh_api: Api) -> None:
    """A model of IQ encodings needs grids, which come with the rest of the library."""
    data, options = make_blocks("UD"), {"temperature": 0, "max_tokens": 12}
    loader = thimble.ModelLoader(len(data))
    loader.feed(data)
    params = thimble.SamplingParams(temperature=0.0, max_tokens=12)
    wanted = "".join(piece.text for piece in loader.finish().session().generate("The", params))
    asked: list[str] = []
    fresh_api.page.on("request", lambda request: asked.append(request.url))
    script = """
      const bytes = Uint8Array.from(atob(argument[0]), (one) => one.charCodeAt(0));
      const session = await Thimble.create({ model: new File([bytes], "ud.gguf") });
      return await session.prompt("The", argument[1]);
    """
    found = fresh_api(script, [base64.b64encode(data).decode(), options])
    assert found == wanted
    assert sum("stdlib_whole" in url for url in asked) == 1
