"""The flags of the sampling options (`sampling_options.py`), and of how JSON is written
(`json_options.py`): one for each of the tables."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from ..errors import OptionError
from ..json_options import JSON_OPTIONS, JsonOptions
from ..sampling_options import DEFAULTS, OPTIONS

BREAKERS = "dry_sequence_breakers"
OWN = ("grammar",)
"""Options that a subcommand asks for in its own way."""


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument_group(
        "sampling", "names as in docs/api.md, or llama.cpp's"
    ).add_argument
    for name, option in OPTIONS.items():
        if name in OWN:
            continue
        flags = [f"--{name.replace('_', '-')}", *filter(None, [option.flag])]
        default = DEFAULTS[name]
        if isinstance(default, int | float):
            add(*flags, dest=name, type=type(default), default=default,
                metavar="N" if isinstance(default, int) else "X",
                help=f"{option.help} (%(default)s)")  # fmt: skip
        elif name == "logit_bias":
            add(*flags, dest=name, action="append", default=[], metavar="ID=VALUE",
                help=f"{option.help}; -inf bans; several times")  # fmt: skip
        else:
            add(*flags, dest=name, action="append", default=[], metavar="STR",
                help=f"{option.help}; several times")  # fmt: skip


def json_flag(name: str) -> str:
    """The flag of an option of JSON."""
    return f"--json-{name.replace('_', '-')}"


def add_json_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("JSON, with --json-schema").add_argument
    for name, choice in JSON_OPTIONS.items():
        values = (choice.usual, choice.other)
        add(json_flag(name), choices=values, default=choice.usual, dest=f"json_{name}",
            help=f"{choice.help[0].lower()}{choice.help[1:]} (%(default)s)")  # fmt: skip


def json_options(options: Namespace) -> JsonOptions:
    """How the JSON is to be written."""
    return JsonOptions(**{name: getattr(options, f"json_{name}") for name in JSON_OPTIONS})


def values(options: Namespace) -> dict[str, Any]:
    """What was given, by the options' names. OptionError for a bias that is none."""
    found = {name: getattr(options, name) for name in OPTIONS if name not in OWN}
    found["logit_bias"] = _logit_bias(options.logit_bias)
    found["stop"] = tuple(options.stop)
    found[BREAKERS] = tuple(getattr(options, BREAKERS)) or DEFAULTS[BREAKERS]
    if found[BREAKERS] == ("none",):  # llama.cpp's word
        found[BREAKERS] = ()
    return found


def _logit_bias(given: list[str]) -> dict[int, float]:
    bias: dict[int, float] = {}
    for item in given:
        token, _, value = item.partition("=")
        try:
            bias[int(token)] = float(value)
        except ValueError:
            raise OptionError(
                f"--logit-bias {item!r}: give a token id, =, and a number, as in 42=-1.5"
            ) from None
    return bias
