"""OpenAI's option names, as they come from JavaScript, as our parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..json_text import parse_json
from ..sampling_options import OPTIONS, SamplingParams

if TYPE_CHECKING:
    from ..constrain import Grammar

SAMPLING_OPTIONS = tuple(OPTIONS)
SWITCHES = ("logprobs", "continue", "parse_special")
KNOWN = (*SAMPLING_OPTIONS, *SWITCHES)


def asked(text: str) -> Any:
    """What the page asks, in JSON; much of it came by a link, or from code of the visitor's.

    Raises OptionError for what is no JSON, or is too deep.
    """
    return parse_json(text, "what the page asks", OptionError)


def sampling(options: dict[str, Any]) -> tuple[SamplingParams, bool]:
    """OpenAI's option names as our parameters, and whether every token's details are wanted."""
    for name in options:
        if name not in KNOWN:
            raise OptionError(f"there is no option {name!r}; there are {', '.join(KNOWN)}")
    chosen = {name: options[name] for name in SAMPLING_OPTIONS if name in options}
    if "stop" in chosen:
        chosen["stop"] = _stops(chosen["stop"])
    if isinstance(chosen.get("dry_sequence_breakers"), list):
        chosen["dry_sequence_breakers"] = tuple(chosen["dry_sequence_breakers"])
    if "logit_bias" in chosen:
        chosen["logit_bias"] = _biases(chosen["logit_bias"])
    if chosen.get("grammar") is not None:
        chosen["grammar"] = _grammar(chosen["grammar"])
    for name in SWITCHES:
        if not isinstance(options.get(name, False), bool):
            raise OptionError(f"{name} must be true or false, not {options[name]!r}")
    return SamplingParams(**chosen), bool(options.get("logprobs", False))


def parses_special(options: dict[str, Any]) -> bool:
    """Whether a prompt may spell control tokens."""
    return bool(options.get("parse_special", False))


def _stops(value: Any) -> tuple[str, ...]:
    """OpenAI takes one string or a list of them."""
    stops: Sequence[Any] = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop for stop in stops):
        raise OptionError(f"stop must be a text or a list of texts, none empty, not {value!r}")
    return tuple(stops)


def _grammar(value: Any) -> Grammar:
    """GBNF is a text; what else a grammar may be says its kind."""
    from ..constrain import Grammar

    given = {"kind": "gbnf", "source": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or set(given) - {"options"} != {"kind", "source"}:
        raise OptionError(f"grammar must be a text in GBNF, or kind and source, not {value!r:.60}")
    return Grammar.from_described(given)


def _biases(value: Any) -> dict[int, float]:
    """JSON's keys are texts; token ids are whole numbers."""
    if not isinstance(value, dict):
        raise OptionError(f"logit_bias must map token ids to numbers, not {value!r}")
    try:
        return {int(token): float(bias) for token, bias in value.items()}
    except (TypeError, ValueError, OverflowError):
        raise OptionError(f"logit_bias must map token ids to numbers, not {value!r}") from None
