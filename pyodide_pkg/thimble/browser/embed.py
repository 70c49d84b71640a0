"""Texts as vectors, for the page."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any

from ..embedding import embed
from ..errors import OptionError
from .options import asked

if TYPE_CHECKING:
    from .engine import Engine


class Service:
    """What the worker asks as "embed.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def texts(self, session: int, texts: str) -> dict[str, Any]:
        """The vectors of a JSON list of texts: float32 numbers one behind the other, in base64."""
        given = asked(texts)
        if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
            raise OptionError(f"embed wants a text or a list of texts, not {texts:.60}")
        model = self._engine.opened(session).model
        data = b"".join(vector.tobytes() for vector in embed(model, given))
        return {"numbers": binascii.b2a_base64(data, newline=False).decode("ascii")}
