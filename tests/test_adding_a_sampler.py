"""A sampler is two files: a field of the table and a stage in C; the rest is made of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Top-a, as other programs have it: tokens below that share of the best probability, squared, go.
FIELD = """    top_a: float = _number(
        0.0, "Top-a", "Exclude tokens below this share of the best probability squared", 0, 1,
        Form(0, 0, 1, 0.01), drops=True,
    )
"""
STAGE = """static void keep_top_a(tk_drawing *d) {
    if (d->s->top_a > 0.0) keep_heavy(d, d->s->top_a / mass_of(d));
}

/* The candidates that all stages leave. */
"""
TRY = """
import sys
from array import array
from argparse import ArgumentParser
from pathlib import Path
import build_kernels
library, = build_kernels.build(build_kernels.target("native"), Path(sys.argv[1]), optimize="-O0")
import thimble
from thimble.cli import sampling_flags
from thimble.debug import Tracer
from thimble.kernel import CKernel
from thimble.sampling import Sampler
assert Path(thimble.__file__).is_relative_to(sys.argv[1]), thimble.__file__
parser = ArgumentParser()
sampling_flags.add_arguments(parser)
said = sampling_flags.values(parser.parse_args(["--top-a", "0.5"]))
kernel = CKernel(library)
params = thimble.SamplingParams(**said)
found = Tracer(kernel, 4).run(
    Sampler(kernel, 4, params), array("f", [2.0, 1.9, 1.0, -3.0]), [], {}, best=4
)
print([row.fate or "kept" for row in found.rows])
try:
    thimble.SamplingParams(top_a=1.5)
except thimble.OptionError as error:
    print(error)
"""


def change(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_a_sampler_is_there_by_a_field_and_a_stage(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.so")
    for name in ("pyodide_pkg", "tools", "web/src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    package = tmp_path / "pyodide_pkg"
    change(
        package / "thimble" / "sampling_options.py",
        ("    min_p: float", FIELD + "    min_p: float"),
    )
    change(
        package / "kernels" / "sample.c",
        ("/* The candidates that all stages leave. */\n", STAGE),
        ("s->min_p > 0.0 ||\n", "s->min_p > 0.0 || s->top_a > 0.0 ||\n"),
        (
            "        mark(d, OUT_MIN_P);\n",
            "        mark(d, OUT_TOP_A);\n        keep_top_a(d);\n        mark(d, OUT_MIN_P);\n",
        ),
    )
    environment = os.environ | {"PYTHONPATH": f"{package}{os.pathsep}{tmp_path}"}

    def run(*arguments: str) -> str:
        ran = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    run("-m", "tools.generate")
    assert '"top_a"' in (tmp_path / "web" / "src" / "api" / "sampling-options.ts").read_text()
    # Of 0.42, 0.38, 0.15 and 0.003: 0.5 times 0.42 squared is 0.09, so the last is out.
    fates, refused = run("-c", TRY, str(tmp_path)).splitlines()
    assert fates == "['kept', 'kept', 'kept', 'top_a']"
    assert "top_a" in refused and "1.5" in refused
