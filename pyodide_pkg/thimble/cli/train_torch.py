"""`thimble train` of a recipe whose backend is PyTorch: alone, or in the processes of `torchrun`.

The run's folder is the one that every run leaves (`training_run.py`); the first process writes it
and prints. Only that process needs the folder, but each machine needs the recipe and the text.
"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch

from ..train.processes import Processes, leave, start
from ..train.recipe import Recipe
from ..train.torch_trainer import TorchTrainer
from .training_run import Run


class TorchRun(Run):
    """One run, in one of its processes."""

    trains = TorchTrainer

    def __init__(self, recipe: Recipe, options: Namespace, processes: Processes) -> None:
        self.processes = processes
        self.writes = processes.first
        super().__init__(recipe, options)

    def _saved(self) -> bytes | None:
        mine = super()._saved() if self.processes.first else None
        saved: bytes | None = self.processes.from_first(mine)
        return saved

    def _stopping(self) -> bool:
        """Whether any process was told to stop: all of them end with the same step."""
        (told,) = self.processes.sum(float(self.stop))
        return told > 0

    def _cores(self) -> int:
        return self.threads * self.processes.size

    def _machine(self) -> dict[str, Any]:
        device = self.processes.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return super()._machine() | {"threads": self.threads, "device": name}


def run_torch(recipe: Recipe, options: Namespace) -> int:
    """Train; return the exit code. One of several processes ends here."""
    with start() as processes:
        code = TorchRun(recipe, options, processes).go()
    if processes.size > 1:
        leave(code)
    return code
