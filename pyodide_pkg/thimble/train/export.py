"""A checkpoint to a GGUF file, which llama.cpp and Thimble run.

    python -m thimble.train.export run/final.pt --out story.gguf --type q8_0

It knows which keys and tensors a `llama` file has; `gguf_writer.py` knows how they are written, and
`quantize.py` what becomes of float32 weights in Q8_0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from ..errors import ThimbleError
from ..gguf_writer import GGUFWriter
from ..quantize import quantize_file
from ..tensor_types import F32
from . import bpe, checkpoint
from .model_file import model_keys
from .recipe import Recipe


def to_gguf(recipe: Recipe, weights: dict[str, Tensor], tokenizer: Tokenizer) -> GGUFWriter:
    """Return a file of float32 tensors. Names are the parameters' own, and there is no
    `output.weight`: the token embedding takes its place."""
    writer = GGUFWriter()
    for key, value in model_keys(recipe).items():
        writer.add(key, value)
    bpe.add_to_gguf(writer, tokenizer)
    for name, tensor in weights.items():
        values = tensor.detach().float().cpu().contiguous().numpy()
        writer.add_tensor(name, tuple(tensor.shape), F32, values)
    return writer


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="thimble.train.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="a run's final.pt or checkpoint.pt")
    parser.add_argument("--out", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--type", default="q8_0", help="what matrices become: q8_0, f32 and so on")
    options = parser.parse_args(arguments)
    try:
        state = checkpoint.read(options.checkpoint)
        tokenizer = Tokenizer.from_str(state["tokenizer"])
        writer = to_gguf(Recipe.from_dict(state["recipe"]), state["model"], tokenizer)
        if options.type == "f32":
            writer.write(options.out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "f32.gguf"
                writer.write(whole)
                quantize_file(whole, options.out, options.type)
    except (ThimbleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
