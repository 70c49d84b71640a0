"""Thimble: small language models, the same under CPython and in a web page.

import thimble

model = thimble.load("story.gguf")
session = model.session()
for chunk in session.generate("Once upon a time", thimble.SamplingParams(temperature=0.8)):
    print(chunk.text, end="")
"""

from typing import TYPE_CHECKING, Any

from .errors import (
    ContextError,
    FormatError,
    HookError,
    MemoryLimitError,
    NumericError,
    OptionError,
    SamplerError,
    ThimbleError,
    UnsupportedError,
)
from .evaluate import Evaluation, evaluate_text, split_stories
from .generation import TokenChunk
from .language_model import LanguageModel
from .loader import ModelLoader, load
from .model import Model
from .model_config import ModelConfig
from .sampling import Choice, SamplingParams, params_from
from .session import Session

if TYPE_CHECKING:
    from .byte_level import ByteMixture
    from .choose import best_of, vote
    from .embedding import embed
    from .ensemble import Ensemble, combine
    from .mixture_weights import fit_weights
    from .speculate import Speculative
    from .tasks.task import Task

__version__ = "0.1.0"

__all__ = [
    "ByteMixture",
    "Choice",
    "ContextError",
    "Ensemble",
    "Evaluation",
    "FormatError",
    "HookError",
    "LanguageModel",
    "MemoryLimitError",
    "Model",
    "ModelConfig",
    "ModelLoader",
    "NumericError",
    "OptionError",
    "SamplerError",
    "SamplingParams",
    "Session",
    "Speculative",
    "Task",
    "ThimbleError",
    "TokenChunk",
    "UnsupportedError",
    "best_of",
    "combine",
    "embed",
    "evaluate_text",
    "fit_weights",
    "load",
    "params_from",
    "split_stories",
    "vote",
]  # fmt: skip

_LATER = {
    "Ensemble": "ensemble", "combine": "ensemble", "ByteMixture": "byte_level",
    "Task": "tasks.task", "fit_weights": "mixture_weights", "Speculative": "speculate",
    "best_of": "choose", "vote": "choose", "embed": "embedding",
}  # fmt: skip
"""Names that few programs need, and the modules that have them."""
_RENAMED = {"Piece": "TokenChunk"}


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


def __getattr__(name: str) -> Any:
    """What few programs need is imported when it is first asked for; old names say the new one."""
    if name in _RENAMED:
        from .deprecated import warn

        warn(f"thimble.{name}", f"thimble.{_RENAMED[name]}")
        return globals()[_RENAMED[name]]
    module = _LATER.get(name)
    if module:
        # Without importlib, which the page's first archive need not have.
        return getattr(__import__(f"{__name__}.{module}", fromlist=[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
