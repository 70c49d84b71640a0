"""The command `thimble`, one file a subcommand.

This file knows which subcommands there are, and how an error becomes one line and an exit code:
0 done, 1 the work failed, 2 wrong usage or a value out of range, 130 interrupted, 141 nobody reads
what is written. It does not know what a subcommand does. To add one: a file with a `COMMAND`, and
an entry in `COMMANDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from ..errors import OptionError, ThimbleError
from . import (
    convert,
    embed,
    evaluate,
    export,
    generate,
    get,
    info,
    merge,
    quantize,
    run,
    serve,
    tokenize,
    train,
    tune,
    verify,
)
from .command import Command

COMMANDS: tuple[Command, ...] = (
    generate.COMMAND,
    tokenize.COMMAND,
    evaluate.COMMAND,
    embed.COMMAND,
    quantize.COMMAND,
    merge.COMMAND,
    convert.COMMAND,
    info.COMMAND,
    train.COMMAND,
    tune.COMMAND,
    run.COMMAND,
    verify.COMMAND,
    get.COMMAND,
    serve.COMMAND,
    export.COMMAND,
)
"""The subcommands, in the order of `thimble --help`."""

INTERRUPTED, NOBODY_READS = 130, 141
"""128 and the number of the signal, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name; default: the process's own).

    Returns the exit code. Nothing is raised: an error is one line on standard error.
    """
    _speak_utf8()
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except SystemExit as stop:  # after --help and --version
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return NOBODY_READS
    except OptionError as error:
        return _fail(error, 2)
    except MemoryError:
        return _fail("there is not enough memory", 1)
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}", 1)
    except ThimbleError as error:
        return _fail(error, 1)


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="thimble", description="Small language models.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"thimble {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        summary = command.help[0].upper() + command.help[1:] + "."
        sub = commands.add_parser(
            command.name, help=command.help, description=summary, allow_abbrev=False
        )
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _fail(error: object, code: int) -> int:
    """Report an error in one line, whatever its message holds."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    with contextlib.suppress(OSError):
        print(f"thimble: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def _speak_utf8() -> None:
    """Models write any character; a terminal of another encoding shows what it can."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush is silent too."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
