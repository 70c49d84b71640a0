"""Text as its bytes: ids are 0 to 255, and 256 begins and ends a text."""

from __future__ import annotations

from .base import Tokenizer
from .vocabulary import BYTE, CONTROL, Vocabulary

END = 256


class ByteTokenizer(Tokenizer):
    """A tokenizer that no file brings along: the one of several models that are read by bytes."""

    def __init__(self) -> None:
        tokens = (*(f"<0x{byte:02X}>" for byte in range(END)), "<end>")
        super().__init__(
            Vocabulary(
                tokens=tokens,
                types=bytes((*[BYTE] * END, CONTROL)),
                ids={token: i for i, token in enumerate(tokens)},
                bos_id=END,
                eos_id=END,
                unk_id=None,
                eog_ids=frozenset({END}),
                add_bos=True,
                add_eos=False,
            )
        )

    def _encode_fragment(self, text: str, spaced: bool, ids: list[int]) -> None:
        ids += text.encode()

    def _encode_word(self, word: str) -> list[int]:
        return list(word.encode())

    def _normal_bytes(self, token: str) -> bytes:
        return token.encode()
