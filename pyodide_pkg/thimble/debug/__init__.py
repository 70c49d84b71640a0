"""The debugger: a generation that is stepped, stopped, looked into, changed and gone over again.

    debugger = Debugger(session, params)
    debugger.begin("Once upon a time")
    debugger.step()                       # one token
    debugger.peek().rows                  # how the next one comes about, stage by stage
    debugger.ban(debugger.peek().id)      # not that one
    debugger.back()                       # to the same bits as before

It knows sessions and samplers, and nothing of pages.
"""

from ..sampling_options import FATES
from .breakpoints import Breakpoint, Breakpoints
from .debugger import Debugger
from .pipeline import Pipeline, Row, Tracer
from .recording import Recording, Replay
from .tree import Branch, Node, Step

__all__ = [
    "FATES", "Branch", "Breakpoint", "Breakpoints", "Debugger", "Node", "Pipeline", "Recording",
    "Replay", "Row", "Step", "Tracer",
]  # fmt: skip
