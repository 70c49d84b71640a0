"""Conversation to prompt: a list of messages written down as the model's own template wants it.

The template comes with the file (`tokenizer.chat_template`) and is a program by a stranger: it runs
in `template/`, which alone knows Jinja2. This file knows messages. It does not know tokens:
`conversation.py` makes ids of what it gives, in which nobody's words become control tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import OptionError, UnsupportedError
from .messages import ROLES, Message, check_messages

if TYPE_CHECKING:
    from .template import Template
    from .thinking import Marks
    from .tokenizer import Tokenizer
    from .tools import Tool, ToolFormat

__all__ = ["ROLES", "ChatTemplate", "check_messages"]


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
        self._tool_format: ToolFormat | None = None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Tool] | None = None,
        **variables: object,
    ) -> str:
        """The prompt that stands for `messages`.

        A message is `{"role": ..., "content": ...}`, the role one of `ROLES`, and has maybe more
        (`messages.KEYS`). With `add_generation_prompt` the prompt ends where the
        assistant's next turn begins. `tools` and the `variables` (`enable_thinking`) are written
        where the template knows them. Raises OptionError for messages that are wrong or that the
        template refuses, FormatError for a template that is broken or runs away, UnsupportedError
        for one that wants more than the
        sandbox has, or where Jinja2 is not installed.
        """
        return self.rendered(
            check_messages(messages),
            add_generation_prompt=add_generation_prompt,
            tools=tools,
            **variables,
        )

    def rendered(
        self,
        checked: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Tool] | None = None,
        **variables: object,
    ) -> str:
        """The same for messages that are checked."""
        if self._compiled is None:
            self._compiled = self._compile()
        return self._compiled.render(
            {
                "messages": list(checked),
                "add_generation_prompt": bool(add_generation_prompt),
                "bos_token": self.bos_token,
                "eos_token": self.eos_token,
                "tools": list(tools) if tools else None,
                "documents": None,
                **variables,
            }
        )

    def tool_format(self, tokenizer: Tokenizer) -> ToolFormat:
        """How the model spells that it calls a tool: found out when first asked."""
        if self._tool_format is None:
            from .tool_format import find_format

            self._tool_format = find_format(self, tokenizer)
        return self._tool_format

    @functools.cached_property
    def marks(self) -> Marks | None:
        """What the model's thoughts stand between, where the template speaks of such."""
        from .thinking import marks_of

        return marks_of(self)

    def _compile(self) -> Template:
        try:
            from .template import Template
        except ImportError as error:
            raise UnsupportedError(
                f"chat templates need the package Jinja2, which is not installed ({error})"
            ) from None
        return Template(self.source)
