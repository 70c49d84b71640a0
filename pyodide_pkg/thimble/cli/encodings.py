"""What `convert` and `quantize` share: the option --type, and words for matrices that are something
else."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from ..tensor_types import FALLBACKS, WRITTEN, TensorType


def add_type(parser: ArgumentParser, default: str | None = None) -> None:
    names = ", ".join(t.name.lower() for t in WRITTEN)
    usual = f" ({default})" if default else ""
    parser.add_argument(
        "--type", required=default is None, default=default, metavar="TYPE",
        help=f"what matrices become: {names}{usual}",
    )  # fmt: skip


def tell(wanted: TensorType, replaced: str | None, misfits: Sequence[str], become: str) -> str:
    """Say on standard error what is not `wanted`; return words for what all the others are.
    `become` is what is told of `misfits`."""
    if replaced:
        print(f"thimble: {replaced}", file=sys.stderr)
    if misfits:
        block = FALLBACKS.get(wanted, wanted).block
        print(
            f"thimble: warning: {len(misfits)} matrices {become}, because their rows "
            f"are no multiple of {block}: {', '.join(misfits[:3])}"
            + (" ..." if len(misfits) > 3 else ""),
            file=sys.stderr,
        )
    return f"{wanted.name} or {FALLBACKS[wanted].name}" if replaced else wanted.name
