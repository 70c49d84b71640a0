"""Would relaxed SIMD make the 4-bit products faster? Measured in Chromium, beside plain SIMD.

    .venv/bin/python -m bench.relaxed

Prints multiply-adds a second of `kernels/relaxed.c`, compiled twice, in turns. The kernels proper
use no relaxed operation.
"""

from __future__ import annotations

import base64
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools import browsers

SOURCE = Path(__file__).parent / "kernels" / "relaxed.c"
VARIANTS = {"plain": (), "relaxed": ("-DRELAXED",)}
SHAPES = ((768, 768), (2048, 768), (8192, 1024))
RUNS = 15
MEASURE = """async ([modules, shapes, runs]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const made = {};
  for (const [name, text] of Object.entries(modules)) {
    made[name] = (await WebAssembly.instantiate(bytes(text))).instance.exports;
  }
  const found = [];
  for (const [rows, cols] of shapes) {
    const times = Math.ceil(3e7 / (rows * cols));
    for (let run = 0; run <= runs; run += 1) {
      for (const [name, kernels] of Object.entries(made)) {
        if (!kernels.fill(rows, cols)) throw new Error("the matrix is too large");
        const began = performance.now();
        kernels.product(rows, cols, times);
        const rate = (rows * cols * times) / (performance.now() - began) / 1e6;
        if (run > 0) found.push([name, rows, cols, rate]);
      }
    }
  }
  return found;
}"""


def build(flags: tuple[str, ...], folder: Path) -> str:
    module = folder / "module.wasm"
    command = [
        sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding",
        "-mcpu=generic+simd128+bulk_memory+relaxed_simd", "-O3", "-std=c11", "-ffp-contract=off",
        "-fno-sanitize=all", "-nostdlib", "-Wl,--no-entry", *flags, "-o", str(module), str(SOURCE),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return base64.b64encode(module.read_bytes()).decode()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        modules = {name: build(flags, Path(folder)) for name, flags in VARIANTS.items()}
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browsers.find(), args=flags)
        found = browser.new_page().evaluate(MEASURE, [modules, SHAPES, RUNS])
        browser.close()
    for rows, cols in SHAPES:
        for name in VARIANTS:
            rates = [rate for n, r, c, rate in found if (n, r, c) == (name, rows, cols)]
            low, high = min(rates), max(rates)
            median = statistics.median(rates)
            print(
                f"{rows} × {cols}  {name:8} {median:5.1f} ({low:.1f}-{high:.1f}) billion a second"
            )


if __name__ == "__main__":
    main()
