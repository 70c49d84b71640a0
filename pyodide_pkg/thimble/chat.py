"""Conversation to prompt: a list of messages written down as the model's own template wants it.

The template comes with the file (`tokenizer.chat_template`) and is a program by a stranger: it runs
in `template/`, which alone knows Jinja2. This file knows messages. It does not know tokens:
`conversation.py` makes ids of what it gives, in which nobody's words become control tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .errors import OptionError, UnsupportedError

if TYPE_CHECKING:
    from .template import Template

ROLES = ("system", "user", "assistant", "tool")
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
"""What a speaker may be called: nothing that spells what a template writes."""


class ChatTemplate:
    """A model's chat template.

    `source` is Jinja2; `bos_token` and `eos_token` are what it sees under these names. It is
    read when first rendered, so that a model with a broken template can still be used.
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        for name, value in (("source", source), ("bos_token", bos_token), ("eos_token", eos_token)):
            if not isinstance(value, str):
                raise OptionError(f"{name} is a str, not {type(value).__name__}")
        self.source = source
        self.bos_token = bos_token
        self.eos_token = eos_token
        self._compiled: Template | None = None

    def render(
        self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True
    ) -> str:
        """The prompt that stands for `messages`.

        A message is `{"role": ..., "content": ...}`, the role one of `ROLES`; it may have a
        `"name"`, which few templates write. With `add_generation_prompt` the prompt ends where the
        assistant's next turn begins. Raises OptionError for messages that are wrong or that the
        template refuses, FormatError for a template that is broken or runs away, UnsupportedError
        for one that wants more than the
        sandbox has, or where Jinja2 is not installed.
        """
        checked = check_messages(messages)
        if self._compiled is None:
            self._compiled = self._compile()
        return self._compiled.render(
            {
                "messages": checked,
                "add_generation_prompt": bool(add_generation_prompt),
                "bos_token": self.bos_token,
                "eos_token": self.eos_token,
                "tools": None,
                "documents": None,
            }
        )

    def _compile(self) -> Template:
        try:
            from .template import Template
        except ImportError as error:
            raise UnsupportedError(
                f"chat templates need the package Jinja2, which is not installed ({error})"
            ) from None
        return Template(self.source)


def check_messages(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """A copy of `messages`, each with a role, a content and maybe a name. Raises OptionError,
    saying which is wrong."""
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        raise OptionError(f"messages are a list, not {type(messages).__name__}")
    if not messages:
        raise OptionError("messages is empty; a conversation has at least one message")
    checked = []
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise OptionError(f"messages[{i}] is a mapping, not {type(message).__name__}")
        if set(message) - {"name"} != {"role", "content"}:
            keys = ", ".join(sorted(map(repr, message))) or "no keys"
            raise OptionError(f"messages[{i}] has 'role' and 'content', not {keys:.100}")
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise OptionError(f"messages[{i}] has role {role!r:.60}; roles are {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise OptionError(f"messages[{i}] has a content of {type(content).__name__}, not str")
        checked.append({"role": role, "content": content})
        if "name" in message:
            if not isinstance(message["name"], str) or not NAME.fullmatch(message["name"]):
                raise OptionError(
                    f"messages[{i}] has the name {message['name']!r:.60}; a name has 1 to 64 "
                    "letters, digits, _ or -"
                )
            checked[-1]["name"] = message["name"]
    return checked
