"""What every tokenizer does: text to ids, ids to bytes and text, a piece at a time or at once.

It knows special tokens, BOS and EOS, and UTF-8. It does not know how a stretch of ordinary text
becomes tokens: each kind has a file. The ids and the text are llama.cpp's, with
two exceptions that make `decode(encode(text), skip_special=True) == text` hold: the space that
SentencePiece puts before a text is taken off behind a skipped BOS, too; and no spaces are "cleaned
up" before punctuation.
"""

from __future__ import annotations

import codecs
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import compress
from unicodedata import category

from ..errors import FormatError, OptionError
from .unicode_classes import SPACES
from .vocabulary import (
    ALWAYS,
    BYTE,
    CONTROL,
    MISSING,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Vocabulary,
    byte_of,
)

# Words as they come, with their ids: most words of a text come again. Long ones rarely do.
CACHE_WORDS = 50_000
CACHE_WORD_LENGTH = 64  # characters
WHITE = " \t\n\v\f\r" + "".join(map(chr, sorted(SPACES)))  # what some special tokens swallow


class Tokenizer(ABC):
    """A vocabulary and the rules by which text becomes its tokens.

    Attributes: `n_vocab`; `bos_id` and `eos_id` (None where the file names none); `eog_ids`, every
    id that ends a text or a turn; `padding`, the ids that no text has.
    """

    # True where encoding puts a space before a text, which decoding takes off again.
    adds_space = False
    # Before which stretches of a text, between special tokens: ALWAYS, MISSING or FIRST.
    space_scheme = ALWAYS

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.n_vocab = len(vocabulary.tokens)
        self.bos_id = vocabulary.bos_id
        self.eos_id = vocabulary.eos_id
        self.eog_ids = vocabulary.eog_ids
        self.padding = tuple(_with_types(vocabulary.types, UNUSED))
        self._bytes: list[bytes | None] = [None] * self.n_vocab
        self._cache: dict[str, list[int]] = {}
        tokens, types = vocabulary.tokens, vocabulary.types
        special = _with_types(types, CONTROL, UNKNOWN, USER_DEFINED)
        # Long ones first: "<|end|>" must not be cut out of a longer token that contains it.
        self._parsed = sorted(
            ((i, tokens[i]) for i in special), key=lambda token: -len(token[1].encode())
        )
        self._user_defined = [token for token in self._parsed if types[token[0]] == USER_DEFINED]
        for i in _with_types(types, BYTE):
            if byte_of(tokens[i]) is None:
                raise FormatError(
                    f"token {i} is a byte token, but is {tokens[i]!r:.60} and not like <0x0A>"
                )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.n_vocab:,} tokens>"

    @cached_property
    def control_texts(self) -> tuple[str, ...]:
        """What control tokens and the unknown one are called, long names first."""
        user_defined = set(self._user_defined)
        return tuple(token[1] for token in self._parsed if token not in user_defined)

    @cached_property
    def control_beginnings(self) -> frozenset[str]:
        """What those names begin with, each short of its end."""
        return frozenset(text[:n] for text in self.control_texts for n in range(1, len(text)))

    def encode(
        self,
        text: str,
        *,
        add_special: bool = True,
        parse_special: bool = False,
        quoted: Mapping[int, str] | None = None,
    ) -> list[int]:
        """The ids of `text`.

        `add_special` adds BOS and EOS where the file wants them. With `parse_special` the text of a
        special token (`</s>`, `<|im_end|>`) becomes that token; without it, it is text like any
        other, which is what text that a user typed should be. `quoted` maps characters of `text`
        to those that they stand for where no special token may begin (`conversation.py`); ordinary
        text then never becomes a control token, even where its pieces would join to one. Raises
        OptionError where `text` is no str, has half a surrogate pair, or has what the vocabulary
        cannot say.
        """
        check_text(text)
        ids: list[int] = []
        if add_special and self.vocabulary.add_bos and self.bos_id is not None:
            ids.append(self.bos_id)
        first = True
        for fragment in self._fragments(text, parse_special, quoted):
            if isinstance(fragment, int):
                ids.append(fragment)
            else:
                begin = len(ids)
                self._encode_fragment(fragment, self._takes_space(fragment, first), ids)
                if quoted is not None and any(map(self.is_control, ids[begin:])):
                    ids[begin:] = self._in_pieces(ids[begin:])
            first = False
        if add_special and self.vocabulary.add_eos and self.eos_id is not None:
            ids.append(self.eos_id)
        return ids

    def decode(
        self, ids: Iterable[int], *, skip_special: bool = False, at_start: bool = True
    ) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD.

        `skip_special` leaves control tokens out. `at_start` says that these ids begin a text, not
        go on with one: only then the space goes that SentencePiece puts before a text. Raises
        OptionError where an id is out of range.
        """
        stream = StreamDecoder(self, skip_special=skip_special, at_start=at_start)
        data = b"".join([stream.next_bytes(token_id) for token_id in ids])
        return data.decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for in a text; a special token's own name for those.

        Raises OptionError where the id is out of range.
        """
        self._check_id(token_id)
        known = self._bytes[token_id]
        if known is None:
            known = self._bytes[token_id] = self._token_bytes(token_id)
        return known

    def token_text(self, token_id: int) -> str:
        """The token as the file spells it: `▁the`, `Ġthe`, `<0x0A>`. Raises OptionError."""
        self._check_id(token_id)
        return self.vocabulary.tokens[token_id]

    def is_special(self, token_id: int) -> bool:
        """Whether the token controls and says nothing (BOS, EOS, unknown). Raises OptionError."""
        self._check_id(token_id)
        return self.vocabulary.types[token_id] in (CONTROL, UNKNOWN)

    def is_control(self, token_id: int) -> bool:
        """Whether the token is one that a template writes and a text does not."""
        return self.vocabulary.types[token_id] == CONTROL

    def _fragments(
        self, text: str, parse_special: bool, quoted: Mapping[int, str] | None
    ) -> Iterator[str | int]:
        """`text` between special tokens, and these as ids; stand-ins become what they stand for."""
        for fragment in self._split_specials(text, parse_special):
            if isinstance(fragment, int) or not quoted:
                yield fragment
            else:
                yield from self._split_specials(fragment.translate(quoted), False)

    def _in_pieces(self, ids: Iterable[int]) -> Iterator[int]:
        """The same without control tokens: their names, a character or a byte at a time."""
        for token_id in ids:
            if not self.is_control(token_id):
                yield token_id
                continue
            for character in self.vocabulary.tokens[token_id]:
                found: list[int] = []
                self._encode_fragment(character, False, found)
                whole = not any(map(self.is_control, found))
                yield from found if whole else self._byte_ids(character)

    def _takes_space(self, text: str, first: bool) -> bool:
        """Whether a stretch of text gets a space before it, where any does."""
        if self.space_scheme == ALWAYS:
            return True
        return not text.startswith(" ") and (first or self.space_scheme == MISSING)

    @abstractmethod
    def _encode_fragment(self, text: str, spaced: bool, ids: list[int]) -> None:
        """Append the ids of `text`, in which there are no special tokens any more; `spaced` says
        that a space goes before it, where `adds_space`."""

    def _byte_ids(self, character: str) -> list[int]:
        """The ids of a character's bytes, where bytes have tokens of their own."""
        return []

    @abstractmethod
    def _normal_bytes(self, token: str) -> bytes:
        """The bytes of an ordinary token."""

    def _encode_words(self, words: Iterable[str], ids: list[int]) -> None:
        """Append the ids of words, each of which is encoded on its own, and remember them."""
        cache = self._cache
        for word in words:
            known = cache.get(word)
            if known is None:
                known = self._encode_word(word)
                if len(word) <= CACHE_WORD_LENGTH:
                    if len(cache) >= CACHE_WORDS:
                        cache.clear()
                    cache[word] = known
            ids += known

    @abstractmethod
    def _encode_word(self, word: str) -> list[int]:
        """The ids of one word."""

    def _token_bytes(self, token_id: int) -> bytes:
        token, kind = self.vocabulary.tokens[token_id], self.vocabulary.types[token_id]
        if kind in (CONTROL, UNKNOWN, USER_DEFINED):
            return token.encode()
        if kind == NORMAL:
            return self._normal_bytes(token)
        if kind == BYTE:
            value = byte_of(token)
            return b"" if value is None else bytes((value,))
        return b""  # unused and undefined tokens say nothing, as in llama.cpp

    def _split_specials(self, text: str, parse_special: bool) -> list[str | int]:
        """`text` cut at its special tokens, which become ids. The longest token cuts first."""
        fragments: list[str | int] = [text] if text else []
        present = set(text)
        for token_id, token in self._parsed if parse_special else self._user_defined:
            if token[0] not in present or token not in text:
                continue
            parts: list[str | int] = []
            for fragment in fragments:
                if isinstance(fragment, int):
                    parts.append(fragment)
                    continue
                for i, part in enumerate(self._between(fragment, token_id, token)):
                    if i:
                        parts.append(token_id)
                    if part:
                        parts.append(part)
            fragments = parts
        return fragments

    def _between(self, text: str, token_id: int, token: str) -> list[str]:
        """What stands before, between and behind the places where a token cuts a text."""
        known = self.vocabulary
        parts = _around_words(text, token) if token_id in known.whole_words else text.split(token)
        last = len(parts) - 1
        if token_id in known.left_strip:
            parts = [part.rstrip(WHITE) if i < last else part for i, part in enumerate(parts)]
        if token_id in known.right_strip:
            parts = [part.lstrip(WHITE) if i else part for i, part in enumerate(parts)]
        return parts

    def _check_id(self, token_id: int) -> None:
        if not isinstance(token_id, int) or isinstance(token_id, bool):
            raise OptionError(f"a token id is an integer, not {token_id!r:.60}")
        if not 0 <= token_id < self.n_vocab:
            raise OptionError(f"token id {token_id} is not in 0 to {self.n_vocab - 1}")


class StreamDecoder:
    """Text as its ids arrive, never half a character.

    `skip_special` leaves control tokens out, but for those `shown`. `at_start` says whether the
    first id begins a text, rather than going on with one that was decoded before, a prompt say;
    None takes the first id for a beginning where it is BOS. All pieces together are
    `tokenizer.decode` of all ids.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        skip_special: bool = True,
        at_start: bool | None = None,
        shown: frozenset[int] = frozenset(),
    ) -> None:
        self._tokenizer = tokenizer
        self._skip_special = skip_special
        self._shown = shown
        # Whether the next space is the one that encoding put there; None is not yet known.
        self._strip = at_start if tokenizer.adds_space else False
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text that this id completes; "" where a character is not yet whole.

        Raises OptionError where the id is out of range.
        """
        return self._utf8.decode(self.next_bytes(token_id))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that was never completed, or ""."""
        return self._utf8.decode(b"", True)

    def next_bytes(self, token_id: int) -> bytes:
        """The bytes that this id adds to the text."""
        data = self._tokenizer.token_bytes(token_id)
        if self._strip is None:
            self._strip = token_id == self._tokenizer.bos_id
        if self._skip_special and self._tokenizer.is_special(token_id):
            return data if token_id in self._shown else b""
        if self._strip:
            self._strip = False
            return data.removeprefix(b" ")
        return data


def _around_words(text: str, token: str) -> list[str]:
    """`text` cut at each `token` with no letter, mark, number or underscore beside it."""
    parts, begin, at = [], 0, text.find(token)
    while at >= 0:
        end = at + len(token)
        beside = text[max(at - 1, 0) : at] + text[end : end + 1]
        if all(c != "_" and category(c)[0] not in "LMN" for c in beside):
            parts.append(text[begin:at])
            begin = end
        at = text.find(token, end)
    return [*parts, text[begin:]]


def _with_types(types: bytes, *wanted: int) -> Iterator[int]:
    """The ids of the tokens of these types."""
    return compress(range(len(types)), types.translate(bytes(i in wanted for i in range(256))))


def check_text(text: str) -> None:
    """Raise OptionError where `text` cannot be written as UTF-8, saying where."""
    if not isinstance(text, str):
        raise OptionError(f"a text is a str, not {type(text).__name__}")
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"the text has half a surrogate pair, U+{ord(text[error.start]):04X}, at character "
            f"{error.start}; give whole characters"
        ) from None
