"""Several models as one: what they are combined by, with which weights, and who goes with whom.

How their distributions become one is the affair of those that are made of them: token by token
(`ensemble.py`) or byte by byte (`byte_level.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .errors import OptionError
from .kernel import Kernel
from .language_model import LanguageModel, Revision
from .model_config import ModelConfig
from .tokenizer import Tokenizer

METHODS = {"mixture": 0, "product": 1, "vote": 2, "confident": 3, "contrastive": 4}
"""By the kernel's numbers: the average of probabilities; the average of log-probabilities (product
of experts, Hinton 2002); each member's best token has its vote; the member that is surest of its
best token speaks alone; log-probabilities with signs, among the tokens that the first member finds
plausible (contrastive decoding, Li et al. 2023; with three members DExperts, Liu et al. 2021)."""
MOST_MEMBERS = 8


class CombinedModel(LanguageModel):
    """Two to eight models that answer together. They keep their own weights."""

    def __init__(
        self,
        members: Sequence[LanguageModel],
        config: ModelConfig,
        tokenizer: Tokenizer,
        *,
        name: str,
        method: str,
        weights: Sequence[float] | None,
    ) -> None:
        super().__init__(
            config, tokenizer, name=name, n_params=sum(member.n_params for member in members)
        )
        self.members = tuple(members)
        self.method = known_method(method)
        self._shares: tuple[float, ...] = ()
        self.member_weights = _usual_weights(method, len(members)) if weights is None else weights

    @property
    def member_weights(self) -> tuple[float, ...]:
        """One number a member; sessions that are open follow a change."""
        return self._shares

    @member_weights.setter
    def member_weights(self, weights: Sequence[float]) -> None:
        self._shares = checked_weights(self.method, weights, len(self.members))

    def combine_by(self, method: str, weights: Sequence[float] | None = None) -> None:
        """Combine by this method from now on, with its usual weights or these; open sessions follow
        without computing anything again."""
        count = len(self.members)
        shares = _usual_weights(known_method(method), count) if weights is None else weights
        self._shares = checked_weights(method, shares, count)
        self.method = method

    @property
    def kernel(self) -> Kernel:
        return self.members[0].kernel

    @property
    def nbytes(self) -> int:
        """Bytes of kernel memory that the members' weights take."""
        return sum(member.nbytes for member in self.members)

    @property
    def revision(self) -> Revision:
        """The members' together: adapters are put on them, not on the ensemble."""
        return tuple(member.revision for member in self.members)

    @property
    def closed(self) -> bool:
        return self._closed or any(member.closed for member in self.members)

    def close(self) -> None:
        """End it; the members live on."""
        self._closed = True


def known_method(method: str) -> str:
    if method not in METHODS:
        raise OptionError(f"there is no method {method!r}; there are {', '.join(METHODS)}")
    return method


def check_each(members: Sequence[LanguageModel]) -> None:
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise OptionError(f"an ensemble has 2 to {MOST_MEMBERS} members, not {len(members)}")
    for index, member in enumerate(members):
        if member.closed:
            raise OptionError(f"member {member.name!r} is closed")
        if any(member is other for other in members[:index]):
            raise OptionError(f"member {member.name!r} is there twice: it would only weigh more")


def same_vocabulary(a: LanguageModel, b: LanguageModel) -> bool:
    """Whether the same id means the same bytes in both."""
    return a.config.n_vocab == b.config.n_vocab and all(
        a.tokenizer.token_bytes(token) == b.tokenizer.token_bytes(token)
        for token in range(a.config.n_vocab)
    )


def _usual_weights(method: str, count: int) -> tuple[float, ...]:
    if method != "contrastive":
        return (1.0,) * count
    if count > 3:
        raise OptionError(f"say the weights of {count} members: a contrast has two or three")
    return (1.5, -0.5) if count == 2 else (1.0, 0.5, -0.5)


def checked_weights(method: str, weights: Sequence[float], count: int) -> tuple[float, ...]:
    found = tuple(float(weight) for weight in weights)
    if len(found) != count:
        raise OptionError(f"there are {count} members and {len(found)} weights")
    signed = method == "contrastive"
    for weight in found:
        if not math.isfinite(weight) or abs(weight) > 1e6 or (weight < 0.0 and not signed):
            least = "-1e6" if signed else "0"
            raise OptionError(f"a weight is {weight}; it must be from {least} to 1e6")
    if not any(found):
        raise OptionError("all weights are 0: nobody would be asked")
    if signed:
        return found
    total = sum(found)
    return tuple(weight / total for weight in found)
