"""`thimble generate`: a model writes on."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..conversation import conversation_ids
from ..errors import OptionError, UnsupportedError
from ..generation import TokenChunk, prompt_ids
from ..language_model import LanguageModel
from ..sampling import SamplingParams
from ..session import Session
from . import inputs, sampling_flags, several
from .command import Command
from .progress import ProgressBar

if TYPE_CHECKING:
    from ..constrain import Grammar


def add_arguments(parser: ArgumentParser) -> None:
    inputs.add_models(parser)
    add = parser.add_argument
    add("--prompt", default="", metavar="TEXT",
        help="what to go on from; - reads standard input, less a last newline "
        "(write --prompt=TEXT where it begins with a dash)")  # fmt: skip
    add("--chat", action="store_true",
        help="take the prompt for a message and put it into the model's chat template")  # fmt: skip
    add("--special", action="store_true",
        help="let the prompt spell control tokens like <|im_end|>; else they are text")  # fmt: skip
    add("--draft", metavar="DRAFT.gguf",
        help="a small model of the same tokenizer that drafts; the text stays")  # fmt: skip
    add("--json-schema", metavar="FILE",
        help="write JSON that is valid against the JSON Schema in this file")  # fmt: skip
    sampling_flags.add_json_arguments(parser)
    add("--regex", metavar="R", help="write what this regular expression matches as a whole")
    add("--grammar", metavar="FILE", help="write what the GBNF grammar in this file allows")
    add("--lark", metavar="FILE", help="write what the Lark grammar in this file allows")
    sampling_flags.add_arguments(parser)
    several.add_arguments(parser)
    inputs.add_threads(parser)
    inputs.add_json(parser)


def run(options: Namespace) -> int:
    params, choosing = _params(options), several.wanted(options)
    prompt = inputs.text_from(options.prompt)
    if options.prompt == inputs.STDIN:
        prompt = prompt.removesuffix("\n")  # the one that `echo` puts there
    model = _model(options)
    if choosing:
        if options.chat:
            raise OptionError("--chat writes one answer; --best-of and --vote go on from a prompt")
        return several.run(options, model, prompt, params)
    if options.chat:
        ids = _chat_ids(model, prompt, parse_special=options.special)
    else:
        ids = prompt_ids(model, prompt, first=True, parse_special=options.special)
    writing = _Writing(len(ids))
    session = model.session()
    _write(session, ids, params, writing, shown=not options.json)
    if options.json:
        inputs.print_json(_report(session, params, writing))
    else:
        print()
    return 130 if writing.finish_reason == "interrupted" else 0


def _model(options: Namespace) -> LanguageModel:
    """The model that writes; with a draft beside it where one is named."""
    if not options.draft:
        return inputs.load_models(options)
    if len(options.models) > 1:
        raise OptionError("--draft wants one model that writes")
    from ..speculate import Speculative

    target = inputs.load_models(options)
    return Speculative(target, inputs.one_model(options.draft, options))


def _params(options: Namespace) -> SamplingParams:
    if options.top_logprobs and not options.json:
        raise OptionError("--top-logprobs needs --json: there is no other place to print them")
    return SamplingParams(**sampling_flags.values(options), grammar=_grammar(options))


def _grammar(options: Namespace) -> Grammar | None:
    """The grammar that was asked for; OptionError where there are two, or it is wrong."""
    given = {
        name: value
        for name in ("json_schema", "regex", "grammar", "lark")
        if (value := getattr(options, name)) is not None
    }
    written = sampling_flags.json_options(options)
    if written.changes() and "json_schema" not in given:
        names = ", ".join(sampling_flags.json_flag(name) for name in written.changes())
        raise OptionError(f"{names}: these say how JSON is written, and go with --json-schema")
    if not given:
        return None
    if len(given) > 1:
        names = " and ".join("--" + name.replace("_", "-") for name in given)
        raise OptionError(f"{names} were both given; a text has one constraint")
    from ..constrain import Grammar

    ((name, value),) = given.items()
    if name == "regex":
        return Grammar("regex", value)
    try:
        source = Path(value).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OptionError(f"{value}: it is no UTF-8 text: {error}") from None
    return Grammar("gbnf" if name == "grammar" else name, source, written)


def _chat_ids(model: LanguageModel, prompt: str, *, parse_special: bool) -> list[int]:
    """A conversation of one message, ready for the answer."""
    if model.chat_template is None:
        raise UnsupportedError(
            f"model {model.name!r} has no chat template; leave --chat out and it goes on from the "
            "prompt"
        )
    message = {"role": "user", "content": prompt}
    return conversation_ids(model, [message], parse_special=parse_special)


@dataclass(slots=True)
class _Writing:
    """What has been written so far, and when. Times are seconds since the prompt was begun."""

    prompt_tokens: int
    chunks: list[TokenChunk] = field(default_factory=list)
    finish_reason: str = "length"
    first: float | None = None
    seconds: float = 0.0


def _write(
    session: Session, ids: list[int], params: SamplingParams, writing: _Writing, *, shown: bool
) -> None:
    """Compute the prompt and write; what is there when the user interrupts stays in `writing`."""
    start = time.perf_counter()
    # The last token stays for `generate`, and all of a prompt that is too long, for its error.
    head = ids[:-1] if len(ids) < session.n_ctx else []
    try:
        with ProgressBar("reading the prompt") as bar:
            session.append(head, progress=bar)
        with ProgressBar("writing") as bar:
            for chunk in session.generate(ids[len(head) :], params):
                writing.seconds = time.perf_counter() - start
                if writing.first is None:
                    writing.first = writing.seconds
                writing.chunks.append(chunk)
                writing.finish_reason = chunk.finish_reason or "interrupted"
                if shown:
                    print(chunk.text, end="", flush=True)
                else:
                    bar(len(writing.chunks), params.max_tokens)
    except KeyboardInterrupt:
        writing.finish_reason = "interrupted"


def _report(session: Session, params: SamplingParams, writing: _Writing) -> dict[str, object]:
    """The JSON object. `tokens_per_second` leaves out the first token, whose time is the
    prompt's."""
    model = session.model
    chunks, rest = writing.chunks, writing.seconds - (writing.first or 0.0)
    report: dict[str, object] = {
        "model": model.name,
        "text": "".join(chunk.text for chunk in chunks),
        "tokens": [chunk.id for chunk in chunks],
        "logprobs": [chunk.logprob for chunk in chunks],
        "finish_reason": writing.finish_reason,
        "prompt_tokens": writing.prompt_tokens,
        "seed": params.seed,
        "seconds": writing.seconds,
        "time_to_first_token": writing.first,
        "tokens_per_second": (len(chunks) - 1) / rest if rest > 0 else None,
    }
    told = getattr(session, "speculation", None)
    if told is not None:
        report["speculation"] = {
            **told._asdict(),
            "acceptance": told.acceptance,
            "tokens_per_round": told.tokens_per_round,
        }
    if params.top_logprobs:
        tokenizer = model.tokenizer
        report["top_logprobs"] = [
            [
                {"id": i, "text": tokenizer.token_bytes(i).decode("utf-8", "replace"), "logprob": p}
                for i, p in chunk.top
            ]
            for chunk in chunks
        ]
    return report


COMMAND = Command("generate", "let a model write", add_arguments, run)
