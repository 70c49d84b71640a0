"""Takes the required part of JSON Schema's own test suite, drafts 7 and 2020-12, out of the source
of the PyPI package jsonschema, which brings it along (MIT licence, Julian Berman and contributors):
`python -m tests.vectors.record_schema_suite`."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "jsonschema==4.26.0"
DRAFTS = {
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
OUT = Path(__file__).with_name("schema_suite.jsonl.gz")


def main() -> None:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", PACKAGE, "--dest", folder]
        subprocess.run(command, check=True)
        with tarfile.open(next(Path(folder).glob("*.tar.gz"))) as archive:
            for member in sorted(archive.getmembers(), key=lambda one: one.name):
                path = Path(member.name)
                if path.parent.name in DRAFTS and path.parent.parent.name == "tests":
                    data = archive.extractfile(member)
                    assert data is not None
                    lines += _cases(path, json.load(data))
    with gzip.GzipFile(OUT, "wb", mtime=0) as out:
        out.write("\n".join(lines).encode())
    print(len(lines), "schemas,", OUT.stat().st_size, "bytes")


def _cases(path: Path, cases: list[dict[str, object]]) -> list[str]:
    found = []
    for case in cases:
        schema = case["schema"]
        if isinstance(schema, dict):
            schema = {"$schema": DRAFTS[path.parent.name], **schema}
        name = f"{path.parent.name}, {path.stem}: {case['description']}"
        found.append(json.dumps({"name": name, "schema": schema, "tests": case["tests"]}))
    return found


if __name__ == "__main__":
    main()
