"""`thimble generate` where several texts are written and one of them is given."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from ..choose import Candidate, Judged, Vote, best_of, last_match, vote
from ..errors import OptionError
from ..language_model import LanguageModel
from ..sampling import SamplingParams
from . import inputs
from .progress import ProgressBar


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--best-of", type=int, metavar="N",
        help="write N texts and give the one that is the likeliest")  # fmt: skip
    add("--judge", metavar="MODEL.gguf",
        help="with --best-of: to this model (to the one that writes)")  # fmt: skip
    add("--per", default="byte", choices=("byte", "token"),
        help="with --best-of: likelihood is counted for each of these (%(default)s)")  # fmt: skip
    add("--vote", type=int, metavar="N",
        help="write N texts and give the answer of most of them")  # fmt: skip
    add("--answer", metavar="REGEX",
        help="with --vote: its last match, or that one's group, is the answer")  # fmt: skip


def wanted(options: Namespace) -> bool:
    """Whether several texts are asked for. Raises OptionError for what does not go together."""
    best, ballot = options.best_of is not None, options.vote is not None
    if best and ballot:
        raise OptionError("--best-of and --vote are two ways to choose; take one")
    if options.judge and not best:
        raise OptionError("--judge wants --best-of N")
    if options.answer and not ballot:
        raise OptionError("--answer wants --vote N")
    if (best or ballot) and options.top_logprobs:
        raise OptionError("--top-logprobs is for one text, not for several")
    return best or ballot


def run(options: Namespace, model: LanguageModel, prompt: str, params: SamplingParams) -> int:
    """Write, choose and print."""
    answer = last_match(options.answer) if options.answer else None
    judge = inputs.load_model(options.judge, threads=options.threads) if options.judge else None
    start = time.perf_counter()
    with ProgressBar("writing") as bar:
        if options.vote is not None:
            ballot = vote(model, prompt, params, n=options.vote, answer=answer, progress=bar)
            report, text = _of_vote(ballot), ballot.answer
        else:
            n = options.best_of
            found = best_of(model, prompt, params, n=n, judge=judge, per=options.per, progress=bar)
            report, text = _of_best(found), found[0].text
    if options.json:
        seconds = time.perf_counter() - start
        inputs.print_json({"model": model.name, "text": text, **report, "seconds": seconds})
    elif text is None:
        raise OptionError(f"--answer {options.answer!r} is in none of the {options.vote} texts")
    else:
        print(text)
    return 0


def _of_vote(found: Vote) -> dict[str, object]:
    return {
        "votes": [{"answer": answer, "votes": count} for answer, count in found.votes],
        "candidates": [_candidate(one) for one in found.candidates],
    }


def _of_best(found: list[Judged]) -> dict[str, object]:
    """The texts in their order; an empty one has no likelihood."""
    return {
        "candidates": [
            _candidate(one.candidate)
            | {
                "nats_per_byte": one.per_byte if one.bytes else None,
                "nats_per_token": one.per_token if one.tokens else None,
            }
            for one in found
        ]
    }


def _candidate(one: Candidate) -> dict[str, object]:
    return {"text": one.text, "seed": one.seed, "finish_reason": one.finish_reason}
