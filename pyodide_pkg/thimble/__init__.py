"""Thimble: small language models, the same under CPython and in a web page.

import thimble

model = thimble.load("story.gguf")
session = model.session()
for piece in session.generate("Once upon a time", thimble.SamplingParams(temperature=0.8)):
    print(piece.text, end="")
"""

from .errors import (
    ContextError,
    FormatError,
    MemoryLimitError,
    NumericError,
    OptionError,
    SamplerError,
    ThimbleError,
    UnsupportedError,
)
from .evaluate import Evaluation, evaluate_text, split_stories
from .families import ModelConfig
from .generation import Piece
from .loader import ModelLoader, load
from .model import Model
from .sampling import Choice, SamplingParams, params_from
from .session import Session

__version__ = "0.1.0"

__all__ = [
    "Choice", "ContextError", "Evaluation", "FormatError", "MemoryLimitError", "Model",
    "ModelConfig", "ModelLoader", "NumericError", "OptionError", "Piece", "SamplerError",
    "SamplingParams", "Session", "ThimbleError", "UnsupportedError", "evaluate_text", "load",
    "params_from", "split_stories",
]  # fmt: skip
