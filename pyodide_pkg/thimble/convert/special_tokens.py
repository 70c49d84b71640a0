"""What a folder says of its special tokens, and its chat template, as the keys of a GGUF file.

Ends of texts stand in generation_config.json, config.json and tokenizer_config.json, one or
several: all of them count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import FormatError
from .safetensors import read_json
from .tokenizer_steps import steps

Keys = dict[str, Any]
_NAMES = (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"),
          ("sep", "seperator"), ("mask", "mask"))  # fmt: skip
"""What Hugging Face calls them, and what GGUF does."""
_INSTEAD = {"bos": "cls", "eos": "sep"}
"""What stands for a text's beginning and end where they have no names of their own: BERT's."""


def special_keys(folder: Path, whole: dict[str, Any], ids: dict[str, int]) -> Keys:
    """Which tokens begin and end a text, and whether they are added to one. `ids` are those of the
    tokens. llama.cpp has keys for three ends; the list of all is ours."""
    keys: Keys = {}
    for name, key in _NAMES:
        known = _named(folder, name, ids) or _named(folder, _INSTEAD.get(name, name), ids)
        if known:
            keys[f"{key}_token_id"] = known[0]
        if name == "eos" and len(known) > 1:
            keys |= zip(("eot_token_id", "eom_token_id"), known[1:], strict=False)
            keys["eog_token_ids"] = known
    first, last = _around(whole)
    keys["add_bos_token"] = first is not None and ids.get(first) == keys.get("bos_token_id")
    keys["add_eos_token"] = last is not None and ids.get(last) == keys.get("eos_token_id")
    return keys


def _named(folder: Path, name: str, ids: dict[str, int]) -> list[int]:
    """The ids of a special token, each once: the tokenizer's own first."""
    token = optional(folder / "tokenizer_config.json").get(f"{name}_token")
    text = token.get("content") if isinstance(token, dict) else token
    found = [ids[text]] if isinstance(text, str) and text in ids else []
    config = optional(folder / "config.json")
    inner = config.get("text_config")
    sources = (optional(folder / "generation_config.json"), config, inner)
    for source in sources:
        if isinstance(source, dict):
            found += _ids(source.get(f"{name}_token_id"), len(ids))
    return list(dict.fromkeys(found))


def _ids(value: Any, n: int) -> list[int]:
    """One token id, or several, those that there are."""
    values = value if isinstance(value, list) else [value]
    return [i for i in values if isinstance(i, int) and not isinstance(i, bool) and 0 <= i < n]


def added_keys(added: dict[int, dict[str, Any]]) -> Keys:
    """Keys of ours for tokens that swallow white space, or are found as whole words only."""
    found: Keys = {}
    for flag in ("lstrip", "rstrip", "single_word"):
        ids = [i for i, token in added.items() if token.get(flag) is True]
        if ids:
            found[f"{flag}_token_ids"] = ids
    return found


def _around(whole: dict[str, Any]) -> tuple[str | None, str | None]:
    """The special tokens that stand before and behind a single text."""
    for step in steps(whole.get("post_processor")):
        if step.get("type") in ("BertProcessing", "RobertaProcessing"):
            return _first_text(step.get("cls")), _first_text(step.get("sep"))
        if step.get("type") != "TemplateProcessing":
            continue
        names = [_special_name(place) for place in list_of(step, "single")]
        return (names[0], names[-1]) if len(names) > 1 else (None, None)
    return None, None


def _first_text(pair: Any) -> str | None:
    """The token of a token and its id."""
    return pair[0] if isinstance(pair, list) and pair and isinstance(pair[0], str) else None


def _special_name(place: Any) -> str | None:
    special = place.get("SpecialToken") if isinstance(place, dict) else None
    name = special.get("id") if isinstance(special, dict) else None
    return name if isinstance(name, str) else None


def list_of(found: dict[str, Any], name: str) -> list[Any]:
    """A list, which may be missing. Raises FormatError for another thing."""
    value = found.get(name)
    if value is not None and not isinstance(value, list):
        raise FormatError(f"{name} in tokenizer.json is {value!r:.60}; a list is right")
    return value or []


def chat_template(folder: Path) -> str | None:
    """The chat template, of a file of its own or in tokenizer_config.json."""
    settings = optional(folder / "tokenizer_config.json")
    alone = folder / "chat_template.jinja"
    if alone.exists():
        try:
            return alone.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"{alone.name} is no UTF-8: {error}") from None
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = [t for t in found if isinstance(t, dict) and t.get("name") == "default"]
        found = named[-1].get("template") if named else None
    return found if isinstance(found, str) else None


def optional(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}
