"""The table of sampling options, and what is made of it."""

from __future__ import annotations

import json
import math
import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

import thimble
from thimble.browser.options import sampling
from thimble.cli import sampling_flags
from thimble.debug.recording import RecordedStep, Recording
from thimble.sampling import SAMPLING
from thimble.sampling_options import DECIDING, DEFAULTS, FATES, OPTIONS
from tools import generate

OTHER: dict[str, Any] = {
    "logit_bias": {3: 1.5, 4: -math.inf}, "stop": ("a", "b"), "dry_sequence_breakers": ("x", "yz"),
    "mirostat": 2,
}  # fmt: skip
NUMBERS = [name for name, option in OPTIONS.items() if option.low != option.high]


def other(name: str) -> Any:
    """A value that is right and no default."""
    if name in OTHER:
        return OTHER[name]
    option, default = OPTIONS[name], DEFAULTS[name]
    if isinstance(default, int):
        return default + 1
    return default / 2 + 0.25 * min(option.high, 1.0)


@pytest.mark.parametrize("path", generate.FILES, ids=lambda path: Path(path).name)
def test_what_is_made_of_it_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.FILES[path](), "python -m tools.generate"


def test_every_option_says_what_it_is() -> None:
    assert [*OPTIONS] == [*DEFAULTS] and {*OPTIONS} == {*thimble.SamplingParams.__slots__}
    for name, option in OPTIONS.items():
        assert option.label and option.help and not option.help.endswith("."), name
        if name in NUMBERS:
            assert option.low <= DEFAULTS[name] <= option.high, name
            assert bool(option.kernel) == (name in SAMPLING.fields) or name == "seed"
        if option.form:
            form = option.form
            assert option.low <= form.low <= form.default <= form.high <= option.high, name
        if option.drops:
            assert name in FATES


@pytest.mark.parametrize("name", NUMBERS)
def test_its_range_is_its_check(name: str) -> None:
    option = OPTIONS[name]
    right: list[Any] = [type(DEFAULTS[name])(value) for value in (option.low, option.high)]
    for value in right:
        thimble.SamplingParams(**{name: value})
    wrong: list[Any] = [option.low - 1, option.high + 1, "1", None, True, math.nan, [1]]
    for value in wrong:
        with pytest.raises(thimble.OptionError, match=rf"^{name} is "):
            thimble.SamplingParams(**{name: value})


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in sampling_flags.OWN])
def test_the_command_line_has_a_flag_for_it(name: str) -> None:
    parser, value = ArgumentParser(allow_abbrev=False), other(name)
    sampling_flags.add_arguments(parser)
    given = {
        "logit_bias": ["3=1.5", "4=-inf"], "stop": ["a", "b"], "dry_sequence_breakers": ["x", "yz"],
    }.get(name, [str(value)])  # fmt: skip
    flags = [f"--{name.replace('_', '-')}", *filter(None, [OPTIONS[name].flag])]
    for flag in flags:
        words = [word for one in given for word in (flag, one)]
        found = thimble.SamplingParams(**sampling_flags.values(parser.parse_args(words)))
        assert found == thimble.SamplingParams(**{name: value})
    assert thimble.SamplingParams(**sampling_flags.values(parser.parse_args([]))) == (
        thimble.SamplingParams()
    )


def test_no_breakers_can_be_asked_for() -> None:
    parser = ArgumentParser()
    sampling_flags.add_arguments(parser)
    found = sampling_flags.values(parser.parse_args(["--dry-sequence-breaker", "none"]))
    assert found["dry_sequence_breakers"] == ()


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "grammar"])
def test_the_page_can_say_it(name: str) -> None:
    value = other(name)
    said = (
        {str(k): v for k, v in value.items() if math.isfinite(v)} if name == "logit_bias" else value
    )
    found, _ = sampling(json.loads(json.dumps({name: said})))
    wanted: Any = {3: 1.5} if name == "logit_bias" else value
    assert found == thimble.SamplingParams(**{name: wanted})


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "grammar"])
def test_a_recording_carries_what_decides_a_token(name: str) -> None:
    params = thimble.SamplingParams(**{name: other(name)})
    recording = Recording("m", None, (1,), (RecordedStep(5, -1.0, params),))
    if name in DECIDING:
        assert Recording.from_json(recording.to_json()) == recording
        assert json.loads(recording.to_json())["steps"][0]["params"].keys() == {name}
    else:
        assert "params" not in json.loads(recording.to_json())["steps"][0]


def test_the_header_and_python_have_one_layout() -> None:
    """The compiler checks sizes and offsets by `_Static_assert`; here, that each is asked for."""
    text = generate.c_header()
    for name in SAMPLING.fields:
        assert f"offsetof(tk_sampling, {name}) == {SAMPLING.offsets[name]}" in text
    assert len(re.findall(r"_Static_assert\(sizeof", text)) == text.count("typedef struct")
