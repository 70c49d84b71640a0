"""The lens as a page has it: WebAssembly, no NumPy, nothing loaded before it is asked for."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.test_session import load
from tests.test_stdlib import Built, run
from tests.tiny_models import SPECS, make
from thimble import lens

pytestmark = pytest.mark.slow

IDS = [i * 11 % 300 for i in range(40)]

CODE = """
import hashlib, json, sys, zipfile
sys.path.append("/engine")
zipfile.ZipFile("/engine.whl").extractall("/engine")
import thimble.browser
from thimble import ModelLoader
loader = ModelLoader()
loader.feed(open("/engine/model.gguf", "rb").read())
model = loader.finish()
before = sorted(name for name in sys.modules if name.startswith(("thimble.lens", "numpy")))
logits, cache = model.run_with_cache({ids})
found = hashlib.sha256(logits.memory)
for name in cache:
    found.update(cache.raw(name))
from thimble import lens
def quiet(z, hook):
    for row in z:
        row[2] = 0
changed = model.run_with_hooks({ids}, [("blocks.1.attn.hook_z", quiet)])
scores = lens.detect_heads(model, samples=1)
json.dumps([before, found.hexdigest(), hashlib.sha256(changed.memory).hexdigest(),
            scores.induction, lens.logit_lens(model, {ids}).cells[0][3].logprob])
"""


def test_a_page_sees_the_same_bits_without_numpy(site: Path, tmp_path: Path) -> None:
    built, data = Built(site), make(SPECS["q8_0"])
    wheel = Path(shutil.copy(built.wheel, tmp_path))
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("model.gguf", data)
    code = CODE.format(ids=IDS)
    answer, fetches = run(built.folder, built.first, code, built.whole, wheel)
    model = load(data)
    logits, cache = model.run_with_cache(IDS)
    expected = hashlib.sha256(logits.tobytes())
    for name in cache:
        expected.update(cache.raw(name))
    quiet = model.run_with_hooks(IDS, lens.ablate_heads(model, [(1, 2)]))
    assert answer == [
        [],
        expected.hexdigest(),
        hashlib.sha256(quiet.tobytes()).hexdigest(),
        lens.detect_heads(model, samples=1).induction,
        lens.logit_lens(model, IDS).cells[0][3].logprob,
    ]
    assert fetches == 0
