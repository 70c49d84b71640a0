"""`thimble verify`: train again by a receipt, and say whether every bit agrees.

Exit code 0: it agrees as far as it was run; 3: it does not, and the last line says where and why.
`train/receipt.py` says what is compared.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ..errors import FormatError
from ..json_text import parse_json
from ..kernel import default_kernel
from ..train.receipt import Claim
from ..train.verifying import Check, verify
from . import inputs
from .command import Command
from .progress import ProgressBar

DIFFERS = 3
MOST = 1 << 27
"""Bytes of a receipt, at most."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("receipt", type=Path, metavar="RECEIPT.json", help="of the run")
    parser.add_argument("--data", required=True, metavar="TEXT", help="the text of the run")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="train the first N steps only (default: all)"
    )
    inputs.add_base(parser)
    inputs.add_tokenizer(parser)
    inputs.add_threads(parser)
    inputs.add_json(parser)


def run(options: Namespace) -> int:
    inputs.check_threads(options.threads)
    receipt = read_receipt(options.receipt)
    claim = Claim.read(receipt)
    default_kernel().call("threads", options.threads)
    differences = claim.differences(default_kernel())
    last = claim.steps if options.steps is None else options.steps
    check = Check(0, True, "")
    with ProgressBar("training again") as bar:
        for check in verify(
            receipt,
            inputs.text_file(options.data),
            steps=last,
            threads=options.threads,
            tokenizer=inputs.tokenizer(options),
            base=inputs.base(options),
        ):
            bar(check.step, last)
    if options.json:
        inputs.print_json(
            {"agrees": check.agrees, "step": check.step, "steps": claim.steps, "why": check.why,
             "differences": differences}
        )  # fmt: skip
        return 0 if check.agrees else DIFFERS
    for difference in differences:
        print(f"note: {difference}")
    if check.agrees:
        print(f"every bit agrees up to step {check.step:,} of {claim.steps:,}")
        return 0
    print(f"it differs at step {check.step:,} of {claim.steps:,}: {check.why}")
    return DIFFERS


def read_receipt(path: Path) -> Any:
    """Return what a file holds; raises `FormatError` where it is no JSON, or far too large."""
    size = path.stat().st_size
    if size > MOST:
        raise FormatError(f"{path} has {size:,} bytes; a receipt has at most {MOST:,}")
    return parse_json(path.read_bytes(), str(path))


COMMAND = Command("verify", "train again by a receipt and compare every bit", add_arguments, run)
