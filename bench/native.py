"""Native runners, each in a process of its own that answers one JSON line for each it is sent.

    PYTHON -m bench.native thimble|llama.cpp MODEL THREADS

Asked `{"prompt": [ids], "tokens": n}`, it reads the prompt afresh, writes n tokens greedily, and
says how long both took, in the words of a page's sample. The first line is `{"ready": version}` or
`{"missing": why}`. Runs under any Python that has the library: nothing else of ours is imported.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

CONTEXT = 1024
BATCH = 512

Generate = Callable[[list[int], int], Iterator[int]]


def thimble_runner(path: str, threads: int) -> tuple[str, Generate]:
    """Thimble's Python package, the same as in the page."""
    import thimble

    model = thimble.load(path)
    given = model.kernel.call("threads", threads) if threads > 1 else 1
    if given != threads:
        raise RuntimeError("not there yet: it runs on one thread")
    session = model.session(CONTEXT)

    def generate(prompt: list[int], tokens: int) -> Iterator[int]:
        session.rollback(0)
        params = thimble.SamplingParams(temperature=0.0, max_tokens=tokens)
        for chunk in session.generate(prompt, params):
            yield chunk.id

    return thimble.__version__, generate


def llama_runner(path: str, threads: int) -> tuple[str, Generate]:
    """llama.cpp by its C interface, so that Python's part is one call a token."""
    import llama_cpp as llama

    llama.llama_backend_init()
    model_params = llama.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(path.encode(), model_params)
    if not model:
        raise RuntimeError(f"llama.cpp does not take {path}")
    params = llama.llama_context_default_params()
    params.n_ctx = CONTEXT
    params.n_batch = params.n_ubatch = BATCH
    params.n_threads = params.n_threads_batch = threads
    context = llama.llama_init_from_model(model, params)
    sampler = llama.llama_sampler_init_greedy()

    def decode(ids: list[int]) -> int:
        array = (llama.llama_token * len(ids))(*ids)
        failed = llama.llama_decode(context, llama.llama_batch_get_one(array, len(ids)))
        if failed:
            raise RuntimeError(f"llama_decode returned {failed}")
        return int(llama.llama_sampler_sample(sampler, context, -1))

    def generate(prompt: list[int], tokens: int) -> Iterator[int]:
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        token = decode(prompt)
        yield token
        for _ in range(tokens - 1):
            token = decode([token])
            yield token

    return str(llama.__version__), generate


RUNNERS = {"thimble": thimble_runner, "llama.cpp": llama_runner}


def measure(generate: Generate, prompt: list[int], tokens: int) -> dict[str, float]:
    """One generation, timed as the pages time theirs."""
    began = time.perf_counter()
    first = last = began
    count = 0
    for _ in generate(prompt, tokens):
        last = time.perf_counter()
        count += 1
        if count == 1:
            first = last
    return {
        "promptTokens": len(prompt),
        "promptMs": 1000 * (first - began),
        "tokens": count,
        "decodeMs": 1000 * (last - first),
    }


def silence_llama() -> None:
    """Its log is for its own developers, and would go between our lines."""
    import llama_cpp as llama

    callback = llama.llama_log_callback(lambda level, text, data: None)
    llama.llama_log_set(callback, ctypes.c_void_p(0))
    globals()["_callback"] = callback  # C keeps a pointer to it


def say(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


def main(arguments: list[str]) -> int:
    name, path, threads = arguments[0], arguments[1], int(arguments[2])
    try:
        if name == "llama.cpp":
            silence_llama()
        version, generate = RUNNERS[name](path, threads)
    except Exception as error:  # whatever it is, the other runners go on
        say({"missing": f"{error}" or type(error).__name__})
        return 1
    say({"ready": version})
    for line in sys.stdin:
        asked = json.loads(line)
        say(measure(generate, asked["prompt"], asked["tokens"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
