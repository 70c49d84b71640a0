"""Jinja2 for templates by strangers; it is imported here only, and only when a chat is rendered.

Jinja2's own sandbox keeps a template from reaching Python. This one also keeps it from running
away: every loop turn, call, filter and operator is paid from a budget, and no value may grow beyond
a size. It knows Jinja2 and what Hugging Face's transformers offer to chat templates; it does not
know messages.

How a size is kept: a template can build large values only by calling, filtering, operators, `~`,
literals and blocks that capture output, and each of these is checked here, before it happens where
it could be huge at once.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
import time
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sized,
    ValuesView,
)
from typing import Any

from jinja2 import TemplateSyntaxError, Undefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import Template
from jinja2.exceptions import SecurityError, TemplateAssertionError
from jinja2.ext import Extension
from jinja2.filters import do_indent, make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import FormatError, OptionError, ThimbleError, UnsupportedError

MAX_SOURCE = 256 << 10  # characters; the longest templates in use have some 20,000
MAX_STEPS = 500_000
MAX_SECONDS = 5.0
MAX_SIZE = 1 << 20  # characters and items of one value, apart from what the messages have
WRITES = 4  # a piece is written more than once where a macro or a block captures it
MAX_DEPTH = 50  # lists in lists
MAX_INTEGER_BITS = 4096

FILTERS = """
    abs capitalize count d default dictsort first float groupby int items last length list lower
    map max min reject rejectattr reverse round select selectattr sort string sum title trim
    unique upper
""".split()
STRING_METHODS = """
    capitalize casefold count endswith find index isalnum isalpha isascii isdecimal isdigit islower
    isnumeric isspace istitle isupper join lower lstrip partition removeprefix removesuffix replace
    rfind rindex rpartition rsplit rstrip split splitlines startswith strip swapcase title upper
""".split()
# Values whose text is about as long as they are, and what may hold such values.
PLAIN = (str, int, float, bool, type(None), Undefined, range)
CONTAINERS = (list, tuple, dict)
# What filters take besides: all of these end, and none of them can hold itself.
SEQUENCES = (Iterator, KeysView, ValuesView, ItemsView)


class RunawayError(FormatError):
    """A template takes more time or room than a prompt ever needs."""


class Budget:
    """What one rendering may still take."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.to_write = WRITES * size
        self.steps = MAX_STEPS
        self.deadline = time.monotonic() + MAX_SECONDS

    def spend(self, steps: int = 1) -> None:
        """Pay for work before it is done. Raises RunawayError where nothing is left."""
        self.steps -= steps
        if self.steps < 0 or time.monotonic() > self.deadline:
            raise RunawayError(
                f"the chat template runs away: it takes more than {MAX_STEPS:,} steps or "
                f"{MAX_SECONDS:g} seconds"
            )

    def allow(self, size: int) -> None:
        """Raise RunawayError where a value of `size` characters and items would be too large."""
        if size > self.size:
            raise RunawayError(
                f"the chat template runs away: it makes a value of more than {self.size:,} "
                "characters"
            )

    def write(self, size: int) -> None:
        """Pay for output, which is held in pieces until all of it is there."""
        self.spend()
        self.to_write -= size
        if self.to_write < 0:
            self.allow(self.size + 1)

    def check(self, value: object) -> None:
        """Raise RunawayError where `value` is too large or too deep, counting what it repeats."""
        if isinstance(value, str):
            self.allow(len(value))
        elif isinstance(value, CONTAINERS):
            self.allow(self.measure(value))

    def check_plain(self, value: object) -> None:
        """Like `check`, for what becomes text: only values whose text is as long as they are."""
        if not isinstance(value, (*PLAIN, *CONTAINERS)):
            raise UnsupportedError(
                f"the chat template writes a {type(value).__name__}, which is no text"
            )
        self.check(value)

    def measure(self, value: object) -> int:
        """Characters and items in `value`; what it holds twice counts twice."""
        return self._measure(value, 0, 0)

    def _measure(self, value: object, size: int, depth: int) -> int:
        size += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, CONTAINERS):
            if depth > MAX_DEPTH:
                raise RunawayError(f"the chat template nests more than {MAX_DEPTH} lists")
            if isinstance(value, dict):
                for key in value:
                    size = self._measure(key, size, depth + 1)
                value = value.values()
            for item in value:
                size = self._measure(item, size, depth + 1)
                self.allow(size)
        elif not isinstance(value, PLAIN):
            raise UnsupportedError(f"the chat template puts a {type(value).__name__} into a list")
        return size


class _Turns:
    """What a loop goes over, paid turn by turn."""

    def __init__(self, items: Iterable[object], budget: Budget) -> None:
        self._items = items if isinstance(items, Sized) else list(items)
        self._budget = budget

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[object]:
        for item in self._items:
            self._budget.spend()
            yield item


class _CheckedCode(CodeGenerator):
    """Compiles `~` and literals so that the environment sees what they make."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self._wrap("environment.concat_checked([", node.nodes, "])", frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self._wrap("environment.container([", node.items, "])", frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        if node.ctx != "load":  # the left side of an assignment
            super().visit_Tuple(node, frame)
        else:
            self._wrap("environment.container((", node.items, "))", frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("environment.container(")
        super().visit_Dict(node, frame)
        self.write(")")

    def _wrap(self, before: str, items: list[nodes.Expr], after: str, frame: Frame) -> None:
        self.write(before)
        for item in items:
            self.visit(item, frame)
            self.write(", ")
        self.write(after)


class _Generation(Extension):
    """`{% generation %}`: marks what the assistant said, for training; here it means nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = _CheckedCode
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))
    budget: Budget

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # else constants are computed before there is a budget
            extensions=("jinja2.ext.loopcontrols", _Generation),
            finalize=self._finalize,
        )
        self.budget = Budget(MAX_SIZE)
        self.concat = self._concat  # type: ignore[method-assign]
        filters = {name: self._paid(self.filters[name]) for name in FILTERS}
        for name, function in (
            ("indent", self._indent),
            ("join", self._join),
            ("replace", self._replace),
            ("safe", str),
            ("tojson", self._to_json),
        ):
            filters[name] = self._paid(function)
        filters["_turns"] = lambda items: _Turns(items, self.budget)
        self.filters = filters
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now

    def container(self, value: Any) -> Any:
        """A list, tuple or dict literal, checked."""
        self.budget.spend()
        self.budget.check(value)
        return value

    def concat_checked(self, parts: list[object]) -> str:
        """`a ~ b`, checked."""
        self.budget.spend(len(parts))
        for part in parts:
            self.budget.check_plain(part)
        return self._concat([str(part) for part in parts])

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr not in STRING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Jinja2 would offer `str.format` before it asks `is_safe_attribute`."""

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget = __self.budget
        budget.spend(1 + sum(len(arg) for arg in args if isinstance(arg, CONTAINERS)))
        subject = getattr(__obj, "__self__", None)
        if isinstance(subject, str) and __obj.__name__ == "join":
            return __self._join(args[0] if args else (), subject)
        if isinstance(subject, str) and __obj.__name__ == "replace":
            return __self._replace(subject, *args)
        result = super().call(__context, __obj, *args, **kwargs)
        budget.check(result)
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self.budget.spend()
        if operator == "%" and isinstance(left, str):
            raise UnsupportedError("the chat template formats text with %, which is not offered")
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, (str, list, tuple)) and isinstance(other, int):
                    self.budget.allow(len(one) * other)
        bits = 0
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right
        if bits <= MAX_INTEGER_BITS:
            result = super().call_binop(context, operator, left, right)
            bits = result.bit_length() if isinstance(result, int) else 0
        if bits > MAX_INTEGER_BITS:
            raise RunawayError(f"the chat template runs away: it makes a number of {bits:,} bits")
        self.budget.check(result)
        return result

    def _concat(self, parts: Iterable[str]) -> str:
        texts = list(parts)
        self.budget.allow(sum(map(len, texts)))
        return "".join(texts)

    def _finalize(self, value: object) -> object:
        self.budget.check_plain(value)
        self.budget.write(len(value) if isinstance(value, str) else self.budget.measure(value))
        return value

    def _paid(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A filter that costs what it goes over and gives nothing too large."""
        position = 1 if hasattr(function, "jinja_pass_arg") else 0

        @functools.wraps(function)
        def paid(*args: Any, **kwargs: Any) -> Any:
            value = args[position] if len(args) > position else None
            if not isinstance(value, (*PLAIN, *CONTAINERS, *SEQUENCES)):
                raise UnsupportedError(f"the chat template filters a {type(value).__name__}")
            self.budget.spend(1 + (len(value) if isinstance(value, CONTAINERS) else 0))
            result = function(*args, **kwargs)
            self.budget.check(result)
            return result

        return paid

    def _join(self, items: Iterable[object], d: object = "", attribute: Any = None) -> str:
        if attribute is not None:
            items = map(make_attrgetter(self, attribute), items)
        values = list(items)
        for value in (*values, d):
            self.budget.check_plain(value)
        texts, separator = [str(value) for value in values], str(d)
        self.budget.allow(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    def _replace(self, text: object, old: str, new: str, count: int | None = None) -> str:
        self.budget.check_plain(text)
        whole = str(text)
        found = whole.count(old)
        self.budget.allow(len(whole) + found * len(new))
        return whole.replace(old, new, -1 if count is None else count)

    def _indent(
        self, text: object, width: int | str = 4, first: bool = False, blank: bool = False
    ) -> str:
        self.budget.check_plain(text)
        whole = str(text)
        columns = len(width) if isinstance(width, str) else width
        self.budget.allow(len(whole) + (whole.count("\n") + 1) * columns)
        return do_indent(whole, width, first, blank)

    def _to_json(
        self,
        value: object,
        indent: int | None = None,
        ensure_ascii: bool = False,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        self.budget.check_plain(value)
        if isinstance(value, (Undefined, range)):
            raise UnsupportedError(f"the chat template writes a {type(value).__name__} as JSON")
        self.budget.allow(self.budget.measure(value) * (1 + (indent or 0)))
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )


class SandboxedTemplate:
    """A compiled chat template.

    Raises FormatError for a source that is no Jinja2, UnsupportedError for one that uses what the
    sandbox does not have.
    """

    def __init__(self, source: str) -> None:
        if len(source) > MAX_SOURCE:
            raise FormatError(
                f"the chat template has {len(source):,} characters; at most {MAX_SOURCE:,} are read"
            )
        self._environment = environment = _Environment()
        try:
            tree = environment.parse(source)
            for loop in tree.find_all(nodes.For):
                loop.iter = nodes.Filter(loop.iter, "_turns", [], [], None, None)
            tree.set_environment(environment)
            code = environment.compile(tree, filename="<chat template>")
            self._template = Template.from_code(environment, code, environment.make_globals(None))
        except TemplateAssertionError as error:
            raise UnsupportedError(f"line {error.lineno} of the chat template: {error}") from None
        except TemplateSyntaxError as error:
            raise FormatError(
                f"the chat template is broken in line {error.lineno}: {error.message}"
            ) from None
        except ThimbleError:
            raise
        except (Exception, RecursionError) as error:
            raise FormatError(f"the chat template cannot be compiled: {_describe(error)}") from None

    def render(self, context: Mapping[str, object]) -> str:
        """The text of the template with `context`'s names. Raises ThimbleErrors."""
        given = sum(map(_length, context.values()))
        self._environment.budget = Budget(MAX_SIZE + 4 * given)
        try:
            return self._template.render(context)
        except ThimbleError:
            raise
        except SecurityError as error:
            raise UnsupportedError(
                f"the chat template does what its sandbox forbids: {error}"
            ) from None
        except Exception as error:
            raise FormatError(f"the chat template fails: {_describe(error)}") from None


def _raise_exception(message: object = "") -> None:
    raise OptionError(f"the chat template refuses this conversation: {message!s:.300}")


def _strftime_now(format: str) -> str:
    # Widths ("%999999999d") would make a text of that length.
    if not isinstance(format, str) or len(format) > 200 or re.search(r"%\W*\d\d\d", format):
        raise FormatError(f"the chat template asks for a date like {format!r:.60}")
    return datetime.datetime.now().strftime(format)


def _length(value: object) -> int:
    """Characters in `value`, a str or what holds such."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    return sum(map(_length, value)) if isinstance(value, list) else 0


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error!s:.300}"
