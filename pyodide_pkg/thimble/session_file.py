"""A session in a file: its tokens, and the keys and values that were computed of them.

    session.save("talk.kv")
    session = model.load_session("talk.kv")      # goes on at once: nothing is read again

Little-endian: `MAGIC`, the format's number, the bytes of a header, the header (JSON), token ids
(int32), the segments of each state as they lie in kernel memory (`kernels/state.c`), and SHA-256 of
all before. Keys and values are in the session's precision, so what comes next has the same bits as
if it had never been away. They are of one model's very weights: the file names their digest.

Nothing in a file is believed: a wrong digest, another model or precision, and sizes that are not
those of this model are refused, and no size is taken from it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from .errors import FormatError, OptionError, UnsupportedError
from .kernel import Scratch
from .state import KV_TYPES

if TYPE_CHECKING:
    from .language_model import LanguageModel
    from .model import Model
    from .session import Session

MAGIC = b"THKV"
FORMAT = 1
MOST_HEADER = 1 << 20
_START = struct.Struct("<4sII")
_FIELDS = struct.Struct("<7q")
_DIGEST = hashlib.sha256().digest_size


class Readable(Protocol):
    """As much of a file as reading takes."""

    def read(self, size: int, /) -> bytes:
        """The next bytes: so many, or as many as there are."""
        ...


class Layout(NamedTuple):
    """How a state lies in memory, as `tk_state_layout` tells it."""

    shift: int
    ring: int
    there: int
    first: int
    interval: int
    fixed: int
    segment_bytes: int

    def needed(self, positions: int) -> int:
        """How many segments hold something of so many positions."""
        if self.fixed:
            return self.there
        whole = -(-positions // (1 << self.shift))
        return min(whole, self.ring) if self.ring else whole


def model_digest(model: Model, *, file: str | None = None) -> str:
    """SHA-256 over a model's numbers and its weights as they lie in kernel memory; or, for whoever
    knows it, over the SHA-256 of its file in place of the weights, which takes no time."""
    found: str | None = model.__dict__.get("_kv_digest")
    if found is None:
        digest = hashlib.sha256(json.dumps(asdict(model.config), default=str).encode())
        digest.update((file or "").encode())
        for name, address, nbytes in model.weights.pieces() if file is None else ():
            digest.update(name.encode())
            for at in range(0, nbytes, 1 << 24):
                digest.update(model.kernel.read(address + at, min(1 << 24, nbytes - at)))
        found = model.__dict__["_kv_digest"] = digest.hexdigest()
    return found


def layouts(session: Session) -> list[Layout]:
    """How each of a session's states lies in memory."""
    kernel = session.model.kernel
    found: list[Layout] = []
    scratch = Scratch(kernel, _FIELDS.size, "a question")
    while kernel.call("state_layout", session.address, len(found), scratch.address):
        found.append(Layout(*_FIELDS.unpack(kernel.read(scratch.address, _FIELDS.size))))
    scratch.close()
    return found


def plain_model(given: LanguageModel) -> Model:
    """The model, where keys and values are those of its weights alone. Raises UnsupportedError."""
    _ = given.weights  # what is made of other models has none
    model = cast("Model", given)
    if model.adapter is not None or model.fwd_hooks:
        raise UnsupportedError(
            f"model {model.name!r} has an adapter or hooks on it: take them off; keys and values "
            "in a file are those of its own weights"
        )
    return model


def save(session: Session, path: str | os.PathLike[str]) -> None:
    """Write a session to a file, whole or not at all: see `Session.save`."""
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(session, file.write)
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def write(session: Session, put: Callable[[bytes], object]) -> None:
    """Put the bytes of a session's file, a few at a time. Raises what `Session.save` raises."""
    header, states = _described(session)
    said = json.dumps(header).encode()
    digest = hashlib.sha256()

    def take(data: bytes) -> None:
        digest.update(data)
        put(data)

    take(_START.pack(MAGIC, FORMAT, len(said)) + said)
    take(_little(array("i", session.tokens)))
    _write_segments(session, states, header["states"], take)
    put(digest.digest())


def size(session: Session) -> int:
    """How many bytes `write` puts. Raises what `Session.save` raises."""
    header, states = _described(session)
    segments: int = sum(
        one.segment_bytes * sum(not one.fixed or position >= 0 for position in told["positions"])
        for one, told in zip(states, header["states"], strict=True)
    )
    return _START.size + len(json.dumps(header)) + 4 * len(session) + segments + _DIGEST


def _described(session: Session) -> tuple[dict[str, Any], list[Layout]]:
    """The header of a session's file, and how its states lie in memory."""
    model = plain_model(session.model)
    computed = session.settled()
    states = layouts(session)
    header = {
        "model": model_digest(model),
        "name": model.name,
        "kv_type": session.kv_type,
        "n_ctx": session.n_ctx,
        "tokens": len(session),
        "computed": computed,
        "states": [
            {
                "first": one.first,
                "interval": one.interval,
                "segment_bytes": one.segment_bytes,
                "positions": [
                    model.kernel.call("state_position", session.address, at, i)
                    for i in range(one.needed(computed))
                ],
            }
            for at, one in enumerate(states)
        ],
    }
    return header, states


def _write_segments(
    session: Session, states: list[Layout], said: Any, write: Callable[[bytes], None]
) -> None:
    kernel = session.model.kernel
    for at, (one, told) in enumerate(zip(states, said, strict=True)):
        for i, position in enumerate(told["positions"]):
            if one.fixed and position < 0:
                continue  # it holds nothing
            address = kernel.call("state_segment", session.address, at, i)
            write(kernel.read(address, one.segment_bytes))


def load(model: Model, path: str | os.PathLike[str]) -> Session:
    """Read a session from a file: see `Model.load_session`."""
    with open(path, "rb") as file:
        return read(model, file, os.fsdecode(path))


def read(model: Model, file: Readable, name: str, *, authentic: bool = False) -> Session:
    """Read a session from the bytes of a file that errors call `name`; `authentic` where whoever
    gives them has compared their SHA-256. Raises what `Model.load_session` raises."""
    return _Reader(plain_model(model), file, name, authentic).read()


class _Reader:
    """Reads one file. Every size comes from the model; what the file says is compared."""

    def __init__(self, model: Model, file: Readable, name: str, authentic: bool) -> None:
        self._model = model
        self._file = file
        self._name = name
        self._digest = None if authentic else hashlib.sha256()

    def _bad(self, words: str) -> FormatError:
        return FormatError(f"{self._name!r} is no session that can be read: {words}")

    def _take(self, nbytes: int, what: str) -> bytes:
        data = self._file.read(nbytes)
        if len(data) != nbytes:
            raise self._bad(f"it ends in {what}")
        if self._digest is not None:
            self._digest.update(data)
        return data

    def _whole(self, value: object, low: int, high: int, what: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._bad(f"{what} is {value!r:.40}, not a whole number from {low} to {high}")
        return value

    def _header(self) -> dict[str, Any]:
        magic, form, length = _START.unpack(self._take(_START.size, "its beginning"))
        if magic != MAGIC:
            raise self._bad(f"it begins with {magic!r}, not {MAGIC!r}")
        if form != FORMAT:
            raise self._bad(f"its format is {form}; this version reads {FORMAT}")
        if length > MOST_HEADER:
            raise self._bad(f"its header has {length:,} bytes; at most {MOST_HEADER:,} are right")
        try:
            header = json.loads(self._take(length, "its header"))
        except (ValueError, RecursionError):
            raise self._bad("its header is not JSON") from None
        if not isinstance(header, dict):
            raise self._bad("its header is no object")
        return header

    def read(self) -> Session:
        header = self._header()
        model = self._model
        if header.get("model") != model_digest(model):
            raise OptionError(
                f"the session in {self._name!r} is of {header.get('name')!r:.80}, not of model "
                f"{model.name!r}: its keys and values mean nothing to other weights"
            )
        kv_type = header.get("kv_type")
        if not isinstance(kv_type, str) or kv_type not in KV_TYPES:
            raise self._bad(f"its keys and values are {kv_type!r:.40}")
        n_ctx = self._whole(header.get("n_ctx"), 1, model.config.n_ctx, "n_ctx")
        count = self._whole(header.get("tokens"), 0, n_ctx, "tokens")
        computed = self._whole(header.get("computed"), 0, count, "computed")
        tokens = array("i")
        tokens.frombytes(_little_bytes(self._take(4 * count, "its tokens")))
        wrong = next((it for it in tokens if not 0 <= it < model.config.n_vocab), None)
        if wrong is not None:
            raise self._bad(f"token id {wrong} is not in the vocabulary of {model.config.n_vocab}")
        session = model.session(n_ctx, kv_type=kv_type)
        try:
            kept = self._fill(session, header.get("states"), computed)
            said = self._file.read(_DIGEST + 1)
            right = len(said) == _DIGEST if self._digest is None else said == self._digest.digest()
            if not right:
                raise self._bad("its SHA-256 is another: it is damaged, or not whole")
            session.restored(list(tokens), kept)
        except BaseException:
            session.close()
            raise
        return session

    def _fill(self, session: Session, said: object, computed: int) -> int:
        """Fill the states of an empty session; how many positions it can keep."""
        kernel = self._model.kernel
        session.make_room(computed)
        states = layouts(session)
        if not isinstance(said, list) or len(said) != len(states):
            raise self._bad(f"it does not have the {len(states)} states of this model")
        for at, (one, told) in enumerate(zip(states, said, strict=True)):
            if not isinstance(told, dict):
                raise self._bad(f"state {at} is no object")
            self._whole(
                told.get("segment_bytes"),
                one.segment_bytes,
                one.segment_bytes,
                f"segment_bytes of state {at}",
            )
            first = self._whole(
                told.get("first"), 0, computed if one.ring else 0, f"first of state {at}"
            )
            interval = self._whole(told.get("interval"), 1, 1 << 30, f"interval of state {at}")
            positions = told.get("positions")
            needed = one.needed(computed)
            if not isinstance(positions, list) or len(positions) != needed:
                raise self._bad(f"state {at} does not have its {needed} segments")
            for i, position in enumerate(positions):
                top = computed if one.fixed else -1
                position = self._whole(position, -1, top, f"a position of state {at}")
                if one.fixed and position < 0:
                    continue
                data = self._take(one.segment_bytes, f"state {at}")
                kernel.write(kernel.call("state_segment", session.address, at, i), data)
                kernel.call("state_place", session.address, at, i, position)
            kernel.call("state_filled", session.address, at, first, interval)
        return kernel.call("session_filled", session.address, computed)


def _little(numbers: array[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}i", *numbers)


def _little_bytes(data: bytes) -> bytes:
    return array("i", struct.unpack(f"<{len(data) // 4}i", data)).tobytes()
