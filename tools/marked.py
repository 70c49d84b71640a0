"""Parts of a document that a program writes, between two comments that name them."""

from __future__ import annotations

import re
from pathlib import Path


def put_between(document: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: written by … -->` and `<!-- /NAME -->`.

    Raises ValueError where the document lacks the comments.
    """
    old = document.read_text(encoding="utf-8")
    pattern = re.compile(
        rf"(<!-- {re.escape(name)}:[^>]*-->\n).*?(\n?<!-- /{re.escape(name)} -->)", re.S
    )
    new, count = pattern.subn(lambda match: f"{match[1]}{text}\n{match[2].lstrip()}", old)
    if count != 1:
        raise ValueError(
            f"{document} has {count} parts between <!-- {name}: --> and <!-- /{name} -->"
        )
    document.write_text(new, encoding="utf-8")
