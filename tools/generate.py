"""Writes what other languages must know as Python knows it: `python -m tools.generate`.

C gets the structs that Python packs and the numbers of names; TypeScript gets the options of
sampling and of JSON. What is written is committed, and a test says when it is not what would be
written now. `--docs` prints the documents' table of sampling options instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from thimble.combined import METHODS
from thimble.constrain.machine import ASKS, FRAME, PLACE, RECORD, WALK
from thimble.constrain.program import MOVES
from thimble.debug.pipeline import TRACE_HEAD, TRACE_ROW
from thimble.json_options import JSON_OPTIONS
from thimble.plan import KINDS
from thimble.program import BUFFER, OP, STATE_FORM
from thimble.sampling import CHOICE, SAMPLING
from thimble.sampling_options import DEFAULTS, FATES, OPTIONS
from thimble.speculate import DRAFT
from tools.fingerprint import ROOT

HEADER = ROOT / "pyodide_pkg" / "kernels" / "mirrored.h"
TYPESCRIPT = ROOT / "web" / "src" / "api" / "sampling-options.ts"
JSON_TYPESCRIPT = ROOT / "web" / "src" / "api" / "json-options.ts"
LAYOUTS = (
    SAMPLING, CHOICE, TRACE_HEAD, TRACE_ROW, DRAFT, OP, BUFFER, STATE_FORM, PLACE, FRAME, RECORD,
    WALK,
)  # fmt: skip
MADE = "Made by `python -m tools.generate`; do not edit."


def c_header() -> str:
    """Structs and enums that Python mirrors."""
    fates = ["KEPT", *(f"OUT_{name.upper()}" for name in FATES[1:])]
    parts = [
        f"/* What Python knows too, as Python has it: see thimble/layout.py.\n * {MADE} */\n"
        "#ifndef TK_MIRRORED_H\n#define TK_MIRRORED_H\n\n"
        "#include <stddef.h>\n#include <stdint.h>\n",
        _enum("What became of a token in a draw.", fates),
        _enum("How several models are one.", (name.upper() for name in METHODS)),
        _enum("Operations of a plan.", (f"TK_OP_{name.upper()}" for name in KINDS)),
        _enum(
            "Moves that are not to a state, in their low four bits.",
            (name.upper() for name in MOVES),
            first=1,
        ),
        _enum("What a walk may miss.", (name.upper() for name in ASKS)),
        *(one.c_source() for one in LAYOUTS),
        "#endif\n",
    ]
    return "\n".join(parts)


def _enum(words: str, names: Iterable[str], first: int = 0) -> str:
    listed = "".join(f"    {name},\n" for name in names)
    if first:
        listed = listed.replace(",", f" = {first},", 1)
    return f"/* {words} */\nenum {{\n{listed}}};\n"


def typescript() -> str:
    """The options' types, and what forms and links need of them."""
    lines = [
        "/**",
        " * The table of sampling options (`thimble/sampling_options.py`).",
        f" * {MADE}",
        " */",
        "",
        "/** How the next token is chosen. The engine checks ranges, and names what is wrong. */",
        "export interface EngineOptions {",
    ]
    for name in OPTIONS:
        if name != "grammar":  # whose notations options.ts knows
            lines += [f"  /** {_sentence(name)} */", f"  {name}?: {_type(name)};"]
    lines += ["}", "", "export const ENGINE_OPTIONS: readonly (keyof EngineOptions)[] = ["]
    lines += [f'  "{name}",' for name in OPTIONS if name != "grammar"]
    lines += ["];", "", "/** A number that the page asks for. */", "export interface OptionForm {"]
    lines += [
        "  readonly label: string;",
        "  /** Where it does nothing, or the engine's default. */",
        "  readonly neutral: number;",
        "  /** Whether it may change which token comes. */",
        "  readonly decides: boolean;",
        "  readonly rare: boolean;",
        "}",
        "",
        "export const OPTION_FORMS = {",
    ]
    for name, option in OPTIONS.items():
        if option.form:
            values = f'label: "{option.label}", neutral: {DEFAULTS[name]:g}'
            flags = f"decides: {_word(option.decides)}, rare: {_word(option.rare)}"
            lines.append(f"  {name}: {{ {values}, {flags} }},")
    lines += [
        "} as const satisfies Partial<Record<keyof EngineOptions, OptionForm>>;",
        "",
        "/** An option that is a number, and has a place in the page's form and in links. */",
        "export type OptionName = keyof typeof OPTION_FORMS;",
        "",
        "/** What became of a token in a draw: kept, or what dropped it. */",
        "export type Fate = " + " | ".join(f'"{name}"' for name in FATES) + ";",
        "",
        "/** What drops a token, in the fewest words. */",
        "export const DROPPED_BY: Readonly<Record<Exclude<Fate, \"kept\">, string>> = {",
        *(f'  {name}: "{option.label.lower()}",' for name, option in OPTIONS.items()
          if option.drops),
        '  greedy: "not the best",',
        '  no_weight: "no chance",',
        '  constraint: "the constraint",',
        "};",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def json_typescript() -> str:
    """The options of JSON: their types, and their values, the usual one first."""
    pairs = {name: (f'"{one.usual}"', f'"{one.other}"') for name, one in JSON_OPTIONS.items()}
    lines = [
        "/**",
        " * The table of how the JSON of a schema is written (`thimble/json_options.py`).",
        f" * {MADE}",
        " */",
        "",
        "/** How the JSON of a schema is written. */",
        "export interface JsonOptions {",
    ]
    for name, choice in JSON_OPTIONS.items():
        lines += [f"  /** {choice.help}. */", f"  readonly {name}?: {' | '.join(pairs[name])};"]
    lines += ["}", "", "/** Their values, the usual one first. */", "export const JSON_OPTIONS = {"]
    lines += [f"  {name}: [{', '.join(values)}]," for name, values in pairs.items()]
    lines += ["} as const satisfies Record<keyof JsonOptions, readonly string[]>;"]
    return "\n".join(lines) + "\n"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _type(name: str) -> str:
    special = {"logit_bias": "Record<number, number>", "stop": "string | string[]",
               "dry_sequence_breakers": "string[]"}  # fmt: skip
    return special.get(name, "number")


def _sentence(name: str) -> str:
    return f"{OPTIONS[name].help}."


def docs_table() -> str:
    """The documents' table: name, range, default, what it does, llama.cpp's flag."""
    lines = ["| option | range | default | |", "|---|---|---|---|"]
    for name, option in OPTIONS.items():
        span = f"{option.low:g} to {option.high:g}" if option.low != option.high else ""
        lines.append(f"| `{name}` | {span} | {_shown(DEFAULTS[name])} | {option.help} |")
    return "\n".join(lines) + "\n"


def _shown(value: object) -> str:
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, tuple) and value:
        return " ".join(f"`{text!r}`" for text in value)
    return "none"


FILES = {HEADER: c_header, TYPESCRIPT: typescript, JSON_TYPESCRIPT: json_typescript}


def main(arguments: list[str]) -> int:
    if arguments == ["--docs"]:
        print(docs_table(), end="")
        return 0
    for path, made in FILES.items():
        write(path, made())
    return 0


def write(path: Path, text: str) -> None:
    """Write a file where it would change: an unchanged one keeps its time."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
