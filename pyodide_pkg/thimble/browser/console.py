"""The Python console: a visitor's code on the page's own model and session.

One set of names per page lives from run to run; `model`, `session`, `tokenizer` and `thimble` in it
are the live ones. `thimble.page` is the console's own: the sampler that the page writes with, and
`show`. It does not know what an editor is, and nothing here runs unless it is asked to.
"""

from __future__ import annotations

import ast
import keyword
import linecache
import rlcompleter
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

import thimble

from ..errors import OptionError
from .code_depth import check as check_depth
from .console_output import Hear, Output, picture_of
from .console_text import put_back, read_again, rows
from .interrupts import PREFIX, Asked, interruptible
from .options import asked

if TYPE_CHECKING:
    from ..model import Model
    from .engine import Engine, SessionEntry

MOST_COMPLETIONS = 200
EXTRAS = {"numpy": "NumPy"}
"""Packages that a site may carry beside the engine, by what is imported."""


class Page:
    """`thimble.page`: what a visitor's code may do to the page."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._opened: SessionEntry | None = None
        self._output: Output | None = None

    @property
    def models(self) -> dict[str, Model]:
        """The models that are in memory, by the names that the page's list has for them."""
        return dict(self._models)

    @property
    def sampler(self) -> Callable[..., int] | None:
        """The function that chooses the page's tokens: `sampler(logits, context)` gives an id.

        None, as at first, lets Thimble's own sampler choose. It counts from the next text on.
        """
        return None if self._opened is None else self._opened.sampler

    @sampler.setter
    def sampler(self, sampler: Callable[..., int] | None) -> None:
        if sampler is not None and not callable(sampler):
            raise OptionError(
                f"page.sampler is {sampler!r:.80}; it must be a function of (logits, context) "
                "that returns a token id, or None"
            )
        if self._opened is None:
            raise OptionError("the page has no session yet: there is nothing to sample for")
        self._opened.sampler = sampler

    @sampler.deleter
    def sampler(self) -> None:
        self.sampler = None

    def show(self, *values: object) -> None:
        """Show values now, as the last line of a run would be: pictures as pictures."""
        if self._output is None:
            raise OptionError("page.show shows something while code of the console runs only")
        for value in values:
            show(value, self._output)

    def __repr__(self) -> str:
        return f"<thimble.page: sampler={sampler_name(self.sampler)}>"


class Service:
    """What the panel asks the engine for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._count = 0
        self._offered: frozenset[str] = frozenset()
        self._bound: SessionEntry | None = None
        self.page = Page(engine.loaded)
        self.names: dict[str, Any] = {"__name__": "__main__", "__doc__": None, "thimble": thimble}
        module: ModuleType = thimble
        module.page = self.page  # type: ignore[attr-defined]  # in a page's console only

    def hello(self, session: int) -> dict[str, Any]:
        """What the panel shows before anything ran."""
        opened = self._bind(session)
        return {
            "python": ".".join(map(str, sys.version_info[:3])),
            "sampler": sampler_name(opened.sampler),
        }

    def imports(self, code: str, offered: str) -> list[str]:
        """What a code imports, by its first name, of what the site offers (JSON) beside the engine.

        None where it is no code.
        """
        self._offered = frozenset(asked(offered))
        try:
            check_depth(code, "")
            tree = ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return []  # the run tells what is wrong
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
        return sorted(found & self._offered)

    def run(self, session: int, code: str, hear: Hear) -> dict[str, Any]:
        """Run code; what it shows goes to `hear` as it comes.

        The answer's status is "done", "error" or "interrupted".
        """
        opened = self._bind(session)
        before = opened.session.tokens
        output = self.page._output = Output(hear)
        started = time.perf_counter()
        with interruptible() as asked, output.redirected():
            status = self._run(code, output, asked)
        took = time.perf_counter() - started
        self.page._output = None
        output.finish()
        return {
            "status": status,
            "milliseconds": took * 1000,
            "sampler": sampler_name(opened.sampler),
            "changed": opened.session.tokens != before,
        }

    def complete(self, session: int, before: str) -> dict[str, Any]:
        """What the word before the cursor may become: `start` is how many characters it has.

        Attributes are looked up on the live objects; no function is called.
        """
        self._bind(session)
        word = _last_word(before)
        stem = word.rpartition(".")[2]
        found = {}
        for match in self._matches(word):
            label = match.rpartition(".")[2].strip(" ():")
            found[label] = {"label": label, "type": _kind(match)}
        return {"start": len(stem), "options": list(found.values())[:MOST_COMPLETIONS]}

    def _matches(self, word: str) -> list[str]:
        completer = rlcompleter.Completer(self.names)
        if not word:
            return []
        with interruptible():
            try:
                if "." in word:
                    return completer.attr_matches(word)
                return completer.global_matches(word)
            except (Exception, KeyboardInterrupt):  # an attribute of the visitor's own may raise
                return []

    def reset_sampler(self, session: int) -> None:
        """Let Thimble's own sampler write again."""
        self._bind(session).sampler = None

    def reread(self, session: int, prompt: str, known: str) -> dict[str, Any]:
        """The session's tokens for a page that knows a prompt and (as JSON) some ids after it."""
        tokens = self._bind(session).session
        prompt, unchanged, chunks = read_again(tokens, prompt, asked(known))
        made = rows(tokens, chunks)
        return {"prompt": prompt, "unchanged": unchanged, "tokens": made, "context": len(tokens)}

    def put_back(self, session: int, prompt: str, known: str) -> int:
        """Let a new session hold the page's text; how many tokens that are."""
        tokens = self._bind(session).session
        put_back(tokens, prompt, asked(known))
        return len(tokens)

    def _bind(self, session: int) -> SessionEntry:
        """Let the names mean this session; what a visitor has put in their place stays."""
        opened = self._engine.opened(session)
        if opened is not self._bound:
            self._bound = self.page._opened = opened
            model = opened.model
            self.names |= {
                "model": model, "session": opened.session, "tokenizer": model.tokenizer,
                "thimble": thimble,
            }  # fmt: skip
        return opened

    def _run(self, code: str, output: Output, asked: Asked) -> str:
        self._count += 1
        name = f"{PREFIX} {self._count}>"
        # Where tracebacks look for lines; without a time, it is never looked for on a disk.
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        try:
            statements, value = _compiled(code, name)
            if asked.early:
                raise KeyboardInterrupt
            exec(statements, self.names)
            if value is not None:
                result = eval(value, self.names)
                if result is not None:
                    self.names["_"] = result
                show(result, output)
        except KeyboardInterrupt:
            output.write("note", "Stopped.")
            return "interrupted"
        except SystemExit:
            output.write("note", "There is nothing to leave: the console goes on.")
        except BaseException as error:
            _report(error, output, self._offered)
            return "error"
        return "done"


def show(value: object, output: Output) -> None:
    """Show a value as the console does: nothing for None, a picture or its repr."""
    if value is None:
        return
    picture = picture_of(value)
    if picture:
        output.picture(*picture)
    else:
        output.write("value", f"{value!r}\n")


def sampler_name(sampler: object) -> str | None:
    """What a sampler is called on the page."""
    if sampler is None:
        return None
    return str(getattr(sampler, "__name__", type(sampler).__name__))


def _compiled(code: str, name: str) -> tuple[CodeType, CodeType | None]:
    """The code's statements, and its last line where that is an expression, whose value counts."""
    check_depth(code, name)
    tree = ast.parse(code, name)
    last = tree.body[-1] if tree.body else None
    value = None
    if isinstance(last, ast.Expr):
        tree.body.pop()
        value = compile(ast.Expression(last.value), name, "eval", dont_inherit=True)
    return compile(tree, name, "exec", dont_inherit=True), value


def _report(error: BaseException, output: Output, offered: frozenset[str]) -> None:
    """The traceback from the visitor's first line on; ours before it are of no use."""
    tb = error.__traceback__
    while tb is not None and not tb.tb_frame.f_code.co_filename.startswith(PREFIX):
        tb = tb.tb_next
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        error.add_note(_missing(EXTRAS[error.name], error.name in offered))
    try:
        words = "".join(traceback.format_exception(type(error), error, tb))
    except (Exception, KeyboardInterrupt):  # its own __str__ may fail, or never end
        words = f"{type(error).__name__} (which cannot be shown)\n"
    output.write("trace", words)


def _missing(package: str, offered: bool) -> str:
    if not offered:
        return f"{package} is not part of this site; everything else works without it."
    return f"{package} is loaded before code runs that has an import statement for it."


def _last_word(text: str) -> str:
    """The dotted name that a text ends with."""
    at = len(text)
    while at and (text[at - 1].isidentifier() or text[at - 1].isdigit() or text[at - 1] == "."):
        at -= 1
    return text[at:]


def _kind(match: str) -> str:
    """For the completion's icon: rlcompleter marks what can be called by a parenthesis."""
    if match.endswith((":", " ")) or keyword.iskeyword(match):
        return "keyword"
    return "function" if match.endswith(("(", ")")) else "variable"
