"""One process or many: which one this is, where it computes, what all of them add up.

`torchrun` starts the processes; without it there is one. On NVIDIA GPUs each has its own and they
talk by NCCL, otherwise they share the cores and talk by gloo.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from ..errors import OptionError


@dataclass(frozen=True, slots=True)
class Processes:
    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Return each value's sum over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        found: list[float] = total.tolist()
        return found

    def from_first(self, value: Any) -> Any:
        """Return the first process's value, in every process."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def agree(self, what: str, value: str) -> None:
        """Raise `OptionError`, in all processes, where one has another value than the first."""
        if self.size == 1:
            return
        values = [value] * self.size
        dist.all_gather_object(values, value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise OptionError(
                    f"{what} is {values[0]} in process 0, and {other} in process {rank}"
                )


def here() -> Processes:
    """Return the processes that have met, or the only one."""
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
    if not dist.is_initialized():
        return Processes(0, 1, device)
    return Processes(dist.get_rank(), dist.get_world_size(), device)


@contextlib.contextmanager
def start() -> Iterator[Processes]:
    """Meet the other processes, and part from them at the end."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield here()
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield here()
        dist.barrier()
    finally:
        dist.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End a process of several without clean-up: threads of Gloo may still run, and the C++
    library ends a program that forgets a running thread with an abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
