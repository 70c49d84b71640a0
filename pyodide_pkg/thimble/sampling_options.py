"""The table of sampling options: name, range, default, label, and what each is for.

To add one is to add a field to `SamplingParams` here, and its stage in `kernels/sample.c`. All else
is made from this table: the check of a value, the struct that the kernels read, the names of what
drops a token (`FATES`), flags of the command line, what recordings and links carry, types and forms
of the page, the tables of the documents (`python -m tools.generate`).

Names are OpenAI's and, where OpenAI has none, those of llama.cpp's server; `flag` has llama.cpp's
flag where that is another.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import OptionError
from .kernel import MAX_TOP

if TYPE_CHECKING:
    from .constrain import Grammar

_MOST = 2**31 - 1
MOST_BREAKERS = 64
LONGEST_BREAKER = 40
"""Characters."""


class Form(NamedTuple):
    """How the page asks for a number."""

    default: float
    low: float
    high: float
    step: float
    slider: float | None = None
    """Where its slider ends; `high` for None."""
    chat: float | None = None
    """The default in a conversation, fit for small chat models; `default` for None."""


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one option besides its name, type and default."""

    label: str
    help: str
    """One clause, for people."""
    low: float = 0
    high: float = 0
    kernel: str = ""
    """The code of its place in the kernels' struct (`layout.py`); empty where it has none."""
    decides: bool = True
    """Whether it may change which token comes; otherwise it says when to stop or what to tell."""
    drops: bool = False
    """Whether a token can be out because of it."""
    flag: str | None = None
    """llama.cpp's flag, where it is not the name."""
    form: Form | None = None
    rare: bool = False
    """Whether the page shows it with the further options only."""


def _option(default: Any, label: str, help: str, **more: Any) -> Any:
    made = Option(label, help, **more)
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata={"option": made})
    return dataclasses.field(default=default, metadata={"option": made})


def _number(
    default: float, label: str, help: str, low: float, high: float, form: Form, **more: Any
) -> float:
    """One that the kernels read as a double."""
    return _option(default, label, help, low=low, high=high, kernel="d", form=form, **more)  # type: ignore[no-any-return]


def _whole(default: int, label: str, help: str, low: int, high: int, **more: Any) -> int:
    return _option(default, label, help, low=low, high=high, **more)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """What a generation is asked for: the fields are the table, which `OPTIONS` shows.

    Raises OptionError for a value out of its range.
    """

    temperature: float = _number(
        1.0, "Temperature", "0 takes the most likely token; higher is wilder", 0, 100,
        Form(0.8, 0, 10, 0.05, 2, chat=0.3), flag="--temp",
    )  # fmt: skip
    top_k: int = _whole(
        0, "Top-k", "Sample from the k most likely tokens; 0 for all", 0, _MOST,
        kernel="i", drops=True, form=Form(0, 0, 100_000, 1, 100),
    )  # fmt: skip
    top_p: float = _number(
        1.0, "Top-p", "Sample from the most likely tokens that add up to this", 0, 1,
        Form(0.95, 0, 1, 0.01, chat=0.9), drops=True,
    )  # fmt: skip
    min_p: float = _number(
        0.0, "Min-p", "Exclude tokens below this share of the best", 0, 1,
        Form(0, 0, 1, 0.01), drops=True,
    )  # fmt: skip
    repetition_penalty: float = _number(
        1.0, "Repetition penalty", "Above 1 discourages tokens that are there already", 0.01, 100,
        Form(1, 0.1, 10, 0.01, 2, chat=1.1), flag="--repeat-penalty",
    )  # fmt: skip
    frequency_penalty: float = _number(
        0.0, "Frequency penalty", "Subtracted from a token's logit for each time it occurs", -2, 2,
        Form(0, -2, 2, 0.05), rare=True,
    )  # fmt: skip
    presence_penalty: float = _number(
        0.0, "Presence penalty", "Subtracted from the logit of a token that occurs", -2, 2,
        Form(0, -2, 2, 0.05), rare=True,
    )  # fmt: skip
    repeat_last_n: int = _whole(
        64, "Penalty window", "Tokens that the penalties look back; -1 for all", -1, _MOST,
        kernel="i", form=Form(64, -1, 100_000, 1, 512), rare=True,
    )  # fmt: skip
    dry_multiplier: float = _number(
        0.0, "DRY multiplier", "Discourages repeated sequences; 0 for off", 0, 100,
        Form(0, 0, 10, 0.05, 2), rare=True,
    )  # fmt: skip
    dry_base: float = _number(
        1.75, "DRY base", "How fast that grows with the sequence's length", 1, 100,
        Form(1.75, 1, 10, 0.05, 4), rare=True,
    )  # fmt: skip
    dry_allowed_length: int = _whole(
        2, "DRY allowed length", "Longest sequence that may be repeated freely", 1, _MOST,
        kernel="i", form=Form(2, 1, 1000, 1, 20), rare=True,
    )  # fmt: skip
    dry_penalty_last_n: int = _whole(
        -1, "DRY window", "Tokens in which repeated sequences are sought; -1 for all", -1, _MOST,
        kernel="i", form=Form(-1, -1, 100_000, 1, 2048), rare=True,
    )  # fmt: skip
    dry_sequence_breakers: Sequence[str] = _option(
        ("\n", ":", '"', "*"), "DRY sequence breakers", "Strings at which a sequence ends",
        flag="--dry-sequence-breaker", rare=True,
    )  # fmt: skip
    dynatemp_range: float = _number(
        0.0, "Dynamic temperature", "Varies the temperature by so much, by the entropy; 0 for off",
        0, 100, Form(0, 0, 10, 0.05, 2), rare=True,
    )  # fmt: skip
    dynatemp_exponent: float = _number(
        1.0, "Dynamic exponent", "How the entropy maps to that range", 0.01, 100,
        Form(1, 0.01, 10, 0.01, 4), flag="--dynatemp-exp", rare=True,
    )  # fmt: skip
    top_n_sigma: float = _number(
        0.0, "Top-n-sigma", "Exclude logits so many standard deviations below the best; 0 for none",
        0, 100, Form(0, 0, 10, 0.05, 5), drops=True, flag="--top-nsigma", rare=True,
    )  # fmt: skip
    typical_p: float = _number(
        1.0, "Typical-p", "Sample from the most typical tokens that add up to this", 0, 1,
        Form(1, 0, 1, 0.01), drops=True, flag="--typical", rare=True,
    )  # fmt: skip
    xtc_probability: float = _number(
        0.0, "XTC probability", "How often all likely tokens but the last are excluded",
        0, 1, Form(0, 0, 1, 0.01), drops=True, rare=True,
    )  # fmt: skip
    xtc_threshold: float = _number(
        0.1, "XTC threshold", "The probability from which a token counts as likely", 0, 0.5,
        Form(0.1, 0, 0.5, 0.01), rare=True,
    )  # fmt: skip
    mirostat: int = _whole(
        0, "Mirostat", "2 holds the text's surprise near a target, in place of top-k, top-p and "
        "the like; 0 for off", 0, 2, kernel="i", drops=True, form=Form(0, 0, 2, 2), rare=True,
    )  # fmt: skip
    mirostat_tau: float = _number(
        5.0, "Mirostat target", "That surprise, in bits per token", 0, 100,
        Form(5, 0, 100, 0.1, 10), flag="--mirostat-ent", rare=True,
    )  # fmt: skip
    mirostat_eta: float = _number(
        0.1, "Mirostat rate", "How fast it is approached", 0, 1,
        Form(0.1, 0, 1, 0.01), flag="--mirostat-lr", rare=True,
    )  # fmt: skip
    max_tokens: int = _whole(
        256, "Length", "Maximum number of tokens to write", 0, _MOST,
        decides=False, flag="--n-predict", form=Form(200, 1, 100_000, 1, 500, chat=512),
    )  # fmt: skip
    logit_bias: Mapping[int, float] = _option(
        {}, "Logit bias", "Added to the logits of these ids; minus infinity bans one",
    )  # fmt: skip
    stop: Sequence[str] = _option(
        (), "Stop", "Writing ends before any of these strings", decides=False,
    )  # fmt: skip
    seed: int = _whole(
        0, "Seed", "Same seed, same settings, same text", 0, 2**64 - 1,
        form=Form(1, 0, 2**32 - 1, 1),
    )  # fmt: skip
    top_logprobs: int = _whole(
        0, "Alternatives", "How many alternatives to report with each token", 0, MAX_TOP,
        decides=False,
    )  # fmt: skip
    grammar: Grammar | None = _option(  # noqa: RUF009
        None, "Constraint", "What the text must match, from thimble.constrain",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, check, default, low, high in _BOUNDED:
            value = getattr(self, name)
            if value is not default:  # most are, and somebody waits for a first token
                check(name, value, low, high)
        if 0.0 < self.temperature < 0.001:
            raise OptionError(f"temperature is {self.temperature}; it must be 0 or at least 0.001")
        if self.mirostat == 1:
            raise OptionError("mirostat is 1; it must be 0 or 2: the first version is not here")
        self._check_bias()
        _check_strings("stop", self.stop)
        if self.dry_sequence_breakers is not DEFAULTS["dry_sequence_breakers"]:
            self._check_breakers()
        if self.grammar is not None:
            self._check_grammar()

    def _check_breakers(self) -> None:
        _check_strings("dry_sequence_breakers", self.dry_sequence_breakers)
        for breaker in self.dry_sequence_breakers:
            if len(breaker) > LONGEST_BREAKER:
                raise OptionError(
                    f"dry_sequence_breakers has {breaker!r:.60} of {len(breaker)} characters; it "
                    f"must be at most {LONGEST_BREAKER}"
                )
        if len(self.dry_sequence_breakers) > MOST_BREAKERS:
            raise OptionError(
                f"dry_sequence_breakers has {len(self.dry_sequence_breakers)} strings; at most "
                f"{MOST_BREAKERS} are read"
            )

    def _check_bias(self) -> None:
        if not isinstance(self.logit_bias, Mapping):
            raise OptionError(
                f"logit_bias is {self.logit_bias!r}; it must map token ids to numbers"
            )
        for token, bias in self.logit_bias.items():
            check_whole("a token id in logit_bias", token, 0, _MOST)
            real = isinstance(bias, (int, float)) and not isinstance(bias, bool)
            if not real or math.isnan(bias) or bias > 1e9:
                raise OptionError(
                    f"logit_bias of token {token} is {bias!r}; it must be a number below 1e9"
                )

    def _check_grammar(self) -> None:
        from .constrain import Grammar  # who has no grammar does not wait for it

        if not isinstance(self.grammar, Grammar):
            raise OptionError(
                f"grammar is {self.grammar!r:.60}; it must be made by thimble.constrain: "
                "json_schema(...), regex(...) or gbnf(...)"
            )


OPTIONS: dict[str, Option] = {
    f.name: f.metadata["option"] for f in dataclasses.fields(SamplingParams)
}
"""The table, by name."""
DEFAULTS: dict[str, Any] = {
    f.name: {} if f.default is dataclasses.MISSING else f.default
    for f in dataclasses.fields(SamplingParams)
}
DECIDING = tuple(name for name, option in OPTIONS.items() if option.decides)
"""What decides about a token: what a recording and a link carry."""
FATES = (
    "kept",
    *(name for name, option in OPTIONS.items() if option.drops),
    "greedy",
    "no_weight",
    "constraint",
)
"""What became of a token in a draw, by the kernels' numbers: kept, or what dropped it. "greedy" is
temperature 0, where only the best stays; "no_weight" is a probability of zero, as a banned token
has; "constraint" is a token that the text's constraint does not allow here."""


def params_from(options: Mapping[str, object]) -> SamplingParams:
    """`SamplingParams` from named options; OptionError for a name that does not exist."""
    for name in options:
        if name not in OPTIONS:
            raise OptionError(f"there is no option {name!r}; there are {', '.join(OPTIONS)}")
    return SamplingParams(**options)  # type: ignore[arg-type]


def check_whole(name: str, value: object, low: float, high: float) -> None:
    """Raise OptionError for what is no whole number of a range."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}; it must be a whole number from {low} to {high}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise OptionError for what is no number of a range."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not low <= value <= high:  # type: ignore[operator]
        raise OptionError(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}")


def _check_strings(name: str, value: object) -> None:
    fits = isinstance(value, Collection) and not isinstance(value, str)
    if not fits or not all(isinstance(s, str) and s for s in value):  # type: ignore[attr-defined]
        raise OptionError(f"{name} is {value!r}; it must be a list of non-empty strings")


_BOUNDED = tuple(
    (
        name,
        check_whole if DEFAULTS[name].__class__ is int else check_number,
        DEFAULTS[name],
        option.low,
        option.high,
    )
    for name, option in OPTIONS.items()
    if option.high != option.low
)
"""The options that have bounds: name, check, default, bounds."""
