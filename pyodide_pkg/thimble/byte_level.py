"""Models whose tokens differ, as one: their next bytes are mixed.

    both = thimble.combine([stories, llama], weights=[0.6, 0.4])

Every model of tokens is a model of bytes too. Let b be the bytes so far. A token sequence covers b
when its bytes begin with b and would not without the last token. What counts here is every sequence
that covers b and all of whose tokens but the last are those that the tokenizer makes of their
bytes (Phan et al. 2024, "Understanding and Mitigating Tokenization Bias in Language Models"; Vieira
et al. 2024, "From Language Models over Tokens to Language Models over Characters"). The next byte's
probability is what those that cover b and it have, divided by the sum over all bytes and the text's
end. Left out is what a model gives to sequences that its tokenizer never makes, and to control
tokens that do not end a text; a trained model gives next to nothing to either.

As the tokenizer makes one sequence of any bytes, there is one beginning of a covering sequence for
each of the last few places in b: as many as the longest token has bytes. So a byte costs one or two
computed tokens of each member.

Inside a character whose bytes are not all there, the tokenizer is asked what it would make of some
character that begins like that; where no token of it ends there, its bytes are taken one by one.
"""

from __future__ import annotations

import dataclasses
import math
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

from .combined import CombinedModel, known_method
from .errors import ContextError, NumericError, OptionError
from .kernel import Kernel, Scratch
from .language_model import LanguageModel
from .sampling import NOTHING_LEFT, Choice, Sampler
from .session import Session
from .tokenizer import Tokenizer
from .tokenizer.bytes import END, ByteTokenizer

SYMBOLS = END + 1
"""The bytes, and the text's end (`SYMBOLS` in `kernels/bytes.c`)."""
SPARE = 4
"""Tokens of a member's context that stay free: what the next byte may need."""
LAST_BYTES = (0xBF, 0xA8, 0x95, 0x80)
"""With which an incomplete character is tried: letters, signs and spaces of all kinds."""


class ByteMixture(CombinedModel):
    """The weighted average of what the members say of the next byte; its tokens are bytes.

    Raises OptionError for members that cannot be read byte by byte.
    """

    def __init__(
        self,
        members: Sequence[LanguageModel],
        *,
        method: str = "mixture",
        weights: Sequence[float] | None = None,
    ) -> None:
        _check(members, method)
        self.lexicons = tuple(Lexicon(member) for member in members)
        first = members[0].config
        n_ctx = min(
            (member.config.n_ctx - SPARE) * lexicon.longest
            for member, lexicon in zip(members, self.lexicons, strict=True)
        )
        if n_ctx < 1:
            raise OptionError(f"a member's context is {first.n_ctx} tokens: too short for bytes")
        super().__init__(
            members,
            dataclasses.replace(first, n_ctx=n_ctx, n_vocab=SYMBOLS),
            ByteTokenizer(),
            name=f"{method} by bytes of {', '.join(member.name for member in members)}",
            method=method,
            weights=weights,
        )

    def combine_by(self, method: str, weights: Sequence[float] | None = None) -> None:
        """Mix with these weights from now on; there is no other method for bytes."""
        _check(self.members, method)
        super().combine_by(method, weights)

    def fits(self, ids: Sequence[int], most: int) -> int:
        """How many ids of a text fit where each member reads at most `most` tokens, its BOS
        included; SPARE of its context stay free."""
        text = bytes(token for token in ids if token != END).decode("utf-8", "replace")
        counts = []
        for member, lexicon in zip(self.members, self.lexicons, strict=True):
            tokens = lexicon.encode(lexicon.space + text.encode())
            read = tokens[: min(most, member.config.n_ctx - SPARE) - 1]
            counts.append(sum(map(len, map(lexicon.bytes_of, read))) - len(lexicon.space))
        return len(ids) - len(text.encode()) + min(counts)

    def _session(self, n_ctx: int, kv_type: str | None = None) -> Session:
        return ByteSession(self, n_ctx, kv_type)


def _check(members: Sequence[LanguageModel], method: str) -> None:
    if known_method(method) != "mixture":
        raise OptionError(
            f"the members' tokenizers differ, and by bytes there is only the mixture: {method} of "
            "distributions over different tokens has no meaning"
        )
    for member in members:
        if member.tokenizer.bos_id is None:
            raise OptionError(
                f"member {member.name!r} has no token to begin a text with, so its first byte "
                "cannot be asked for"
            )


def byte_choices(
    members: Sequence[LanguageModel],
    stories: Sequence[str],
    most: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[float]]:
    """The probability that each member gives to every byte of the stories, each story as far as all
    members read it within `most` tokens; `progress(done, total)` counts stories."""
    model = ByteMixture(members)
    columns: list[list[float]] = [[] for _ in members]
    for done, story in enumerate(stories, 1):
        ids = model.tokenizer.encode(story)
        session = model.session()
        assert isinstance(session, ByteSession)
        for column, found in zip(
            columns, session.score_each(ids[: model.fits(ids, most)])[1:], strict=True
        ):
            column += [math.exp(choice.logprob) for choice in found]
        session.close()
        if progress:
            progress(done, len(stories))
    return columns


class Lexicon:
    """A member's tokens in the order of their bytes, in kernel memory."""

    def __init__(self, model: LanguageModel) -> None:
        tokenizer = model.tokenizer
        self.tokenizer: Tokenizer = tokenizer
        self.space = b" " if tokenizer.adds_space else b""
        """What the tokenizer puts before a text."""
        self.bytes_of: Callable[[int], bytes] = tokenizer.token_bytes
        said = [
            (tokenizer.token_bytes(token), token)
            for token in range(model.config.n_vocab)
            if not tokenizer.is_special(token) and token not in tokenizer.eog_ids
        ]
        entries = sorted(entry for entry in said if entry[0])
        self._spelled = [spelled for spelled, _ in entries]
        self.longest = max(map(len, self._spelled), default=1)
        self._single = {spelled[0]: token for spelled, token in entries if len(spelled) == 1}
        starts, at = array("i"), 0
        for spelled in self._spelled:
            starts.append(at)
            at += len(spelled)
        ids = array("i", (token for _, token in entries))
        self._memory = Scratch(model.kernel, 8 * len(ids) + at, "tokens by their bytes")
        self._memory.write(ids.tobytes() + starts.tobytes() + b"".join(self._spelled))
        self.ends = tuple(sorted(tokenizer.eog_ids))

    def longer(self, beginning: bytes) -> tuple[int, int]:
        """Where the tokens stand that begin like this and are longer: from, to."""
        low = bisect_right(self._spelled, beginning)
        return low, bisect_right(self._spelled, beginning + b"\xff" * self.longest, low)

    def addresses(self, first: int) -> tuple[int, int, int]:
        """Of ids and starts from a token on, and of all bytes."""
        base, n = self._memory.address, len(self._spelled)
        return base + 4 * first, base + 4 * (n + first), base + 8 * n

    def encode(self, data: bytes) -> list[int]:
        """The tokens that the tokenizer makes of bytes, at whatever place they end."""
        ids: list[int] = []
        while True:
            try:
                return ids + self._encode_text(data.decode(), first=not ids)
            except UnicodeDecodeError as error:
                whole, rest = data[: error.start], data[error.start :]
                if error.end == len(data) and error.reason == "unexpected end of data":
                    return ids + self._encode_cut(whole.decode(), rest, first=not ids)
                ids += self._encode_text(whole.decode(), first=not ids)
                ids.append(self._byte(rest[0]))
                data = rest[1:]

    def _encode_text(self, text: str, *, first: bool) -> list[int]:
        """The ids of a text, which, where it is the first, has its space before it already."""
        space, ids = self.space.decode() if first else "", list[int]()
        if text == space or not first:
            if text:
                self.tokenizer._encode_fragment(text.removeprefix(space), first, ids)
            return ids
        return self.tokenizer.encode(text.removeprefix(space), add_special=False) if text else []

    def _encode_cut(self, whole: str, rest: bytes, *, first: bool) -> list[int]:
        """The ids of a text and of a character's first bytes."""
        wanted = len(whole.encode()) + len(rest)
        for last in LAST_BYTES:
            for more in range(1, 4):
                try:
                    character = (rest + bytes([last] * more)).decode()
                except UnicodeDecodeError:
                    continue
                at, ids = 0, self._encode_text(whole + character, first=first)
                for count, token in enumerate(ids):
                    if at == wanted:
                        return ids[:count]
                    at += len(self.bytes_of(token))
        return self._encode_text(whole, first=first) + [self._byte(byte) for byte in rest]

    def _byte(self, byte: int) -> int:
        if byte not in self._single:
            raise OptionError(f"the vocabulary has no token for the byte 0x{byte:02X}")
        return self._single[byte]


class _View:
    """One member's opinion of the next byte."""

    def __init__(self, member: LanguageModel, lexicon: Lexicon, kv_type: str | None) -> None:
        self.member, self.lexicon = member, lexicon
        self.kernel: Kernel = member.kernel
        self.session = member.session(kv_type=kv_type)
        # The log-probability of the session's first tokens, for each number of them.
        self._worth: list[float] = []
        # By place: the probabilities of the token that begins there, and the log-probability of
        # what comes before.
        self._rows: dict[int, tuple[Scratch, float]] = {}
        self._row_bytes = 4 * ((member.config.n_vocab + 3) & ~3)
        self._out = Scratch(self.kernel, 8 * (SYMBOLS + 1), "shares of bytes")

    def shares(self, text: bytes) -> bytes:
        """What the next byte after the text has, each one and the end: SYMBOLS doubles, in
        proportion."""
        data, lexicon = self.lexicon.space + text, self.lexicon
        found = []
        for place in range(max(0, len(data) - lexicon.longest), len(data) + 1):
            low, high = lexicon.longer(data[place:])
            if low < high:
                found.append((place, low, high, *self._row(data, place)))
        best = max(worth for *_, worth in found)
        out = self._out.address
        self.kernel.write(out, bytes(8 * SYMBOLS))
        for place, low, high, row, worth in found:
            self.kernel.write(out + 8 * SYMBOLS, array("d", [math.exp(worth - best)]).tobytes())
            ids, starts, spelled = lexicon.addresses(low)
            self.kernel.call(
                "byte_shares", row.address, ids, starts, high - low, spelled, len(data) - place,
                out + 8 * SYMBOLS, out,
            )  # fmt: skip
        _, _, _, row, worth = found[-1]
        ends = sum(row.floats(1, 4 * token)[0] for token in lexicon.ends)
        self.kernel.write(out + 8 * END, array("d", [math.exp(worth - best) * ends]).tobytes())
        for place in [place for place in self._rows if place < len(data) - lexicon.longest]:
            self._rows.pop(place)[0].close()
        return self.kernel.read(out, 8 * SYMBOLS)

    def _row(self, data: bytes, place: int) -> tuple[Scratch, float]:
        """Of the token that begins at a place: its probabilities, and what leads there is worth."""
        known = self._rows.get(place)
        if known:
            return known
        self._go_to(data[:place])
        session = self.session
        session._ready()
        row = Scratch(self.kernel, self._row_bytes, "probabilities")
        size = self.member.config.n_vocab
        if self.kernel.call("probabilities", session._logits.address, size, row.address):
            raise NumericError(f"the logits of member {self.member.name!r} hold a NaN")
        self._rows[place] = row, self._worth[-1]
        return self._rows[place]

    def _go_to(self, data: bytes) -> None:
        """Have the session read what the tokenizer makes of these bytes."""
        bos, session = self.member.tokenizer.bos_id, self.session
        assert bos is not None
        wanted, there = [bos, *self.lexicon.encode(data)], list(session.tokens)
        same = min(len(wanted), len(there))
        while wanted[:same] != there[:same]:
            same -= 1
        session.rollback(same)
        del self._worth[same:]
        try:
            if not same:
                session.append(wanted[:1])
                self._worth, same = [0.0], 1
            for choice in session.score(wanted[same:]):
                self._worth.append(self._worth[-1] + choice.logprob)
        except ContextError as error:
            raise ContextError(f"member {self.member.name!r}: {error}") from None

    @property
    def full(self) -> bool:
        """Whether the member's context may not hold another byte."""
        return len(self.session) > self.session.n_ctx - SPARE

    def forget(self, size: int) -> None:
        """Drop what is known of places behind the first `size` bytes of the text."""
        for place in [place for place in self._rows if place > size + len(self.lexicon.space)]:
            self._rows.pop(place)[0].close()

    def take_over(self, other: _View) -> None:
        self.session.close()
        self.session, self._worth = other.session.fork(), list(other._worth)
        self.forget(-1)

    def changed(self) -> None:
        """Begin again: the member is another one now."""
        self.session.rollback(0)
        self.forget(-2)

    def close(self) -> None:
        self.forget(-2)
        self.session.close()
        self._out.close()


class ByteSession(Session):
    """One text over every member, byte by byte."""

    model: ByteMixture

    def __init__(self, model: ByteMixture, n_ctx: int, kv_type: str | None = None) -> None:
        self.views = [
            _View(member, lexicon, kv_type)
            for member, lexicon in zip(model.members, model.lexicons, strict=True)
        ]
        count = len(self.views)
        self._table = Scratch(model.kernel, 8 * count * (SYMBOLS + 1), "mixing")
        self._read: list[int] = []  # what the views know of
        self._limit = n_ctx
        self._rule: tuple[float, ...] = ()
        super().__init__(model, n_ctx, kv_type)

    def member_logits(self, index: int) -> array[float]:
        """What one member says of the next byte: log-probabilities of 256 bytes and the end."""
        self._ready()
        scratch = Scratch(self._kernel, 4 * self._row, "logits")
        weights = [float(index == i) for i in range(len(self.views))]
        self._mix([view.shares(self._text) for view in self.views], weights, scratch.address)
        return scratch.floats(SYMBOLS)

    def score_each(self, ids: Sequence[int]) -> list[list[Choice]]:
        """What `score` says, of the mixture and then of each member."""
        found: list[list[Choice]] = [[] for _ in range(1 + len(self.views))]
        for token in ids:
            if self._tokens:
                found[0].append(self.token_logprob(token))
                for i in range(len(self.views)):
                    logprob = self.member_logits(i)[token]
                    found[1 + i].append(Choice(token, logprob, math.nan, ()))
            self.append([token])
        return found

    @property
    def _text(self) -> bytes:
        return bytes(self._read[1:] if self._read[:1] == [END] else self._read)

    def _check(self, ids: Sequence[int], *, append: bool = True) -> None:
        super()._check(ids, append=append)
        if append and END in ids[0 if self._tokens else 1 :]:
            raise OptionError("a text of bytes begins and ends once: 256 can only come first")

    @property
    def runs_in_kernel(self) -> bool:
        return False

    def _live(self) -> int:
        for view in self.views:
            view.session._live()
        return 0

    def _grow(self, wanted: int) -> None:
        """Nothing: the members' sessions grow by themselves."""

    def _prepare_logits(self) -> None:
        if self._rule != self.model.member_weights:
            self._logits_at = -1
        super()._prepare_logits()

    def _forward(self, ids: Sequence[int], which: int, logits: int) -> None:
        before = len(self._read)
        try:
            for index, token in enumerate(ids):
                self._read.append(token)
                last = index == len(ids) - 1
                if which > 0 or (which == 0 and last):
                    weights = self.model.member_weights
                    self._mix([view.shares(self._text) for view in self.views], weights, logits)
                    self._rule = weights
                    logits += 4 * self._row
        except (NumericError, ContextError):
            del self._read[before:]
            raise
        if any(view.full for view in self.views):
            self.n_ctx = min(self.n_ctx, len(self._read) + 1)

    def _mix(self, shares: Sequence[bytes], weights: Sequence[float], out: int) -> None:
        self._table.write(b"".join(shares) + array("d", weights).tobytes())
        at, count = self._table.address, len(shares)
        status = self._kernel.call("byte_mixture", at, at + 8 * SYMBOLS * count, count, out)
        if status < 0:
            name = self.model.members[-1 - status].name
            raise NumericError(f"member {name!r} gives no byte a probability here")

    def _draw(self, pending: Sequence[int], sampler: Sampler) -> None:
        if pending:
            self._forward(pending, 0, self._logits.address)
        if self._kernel.call("sample", self._logits.address, SYMBOLS, *sampler.addresses):
            raise NumericError(NOTHING_LEFT)

    def _truncate_cache(self, n: int) -> int:
        del self._read[n:]
        self.n_ctx = self._limit
        for view in self.views:
            if n == 0:
                view.changed()
            else:
                view.forget(len(self._text))
        return n

    def _copy_cache(self, other: Session, n: int) -> int:
        assert isinstance(other, ByteSession)
        self._read = other._read[:n]
        self._rule = other._rule
        for view, source in zip(self.views, other.views, strict=True):
            view.take_over(source)
        return n

    def _free(self) -> None:
        for view in self.views:
            view.close()
        self._table.close()
