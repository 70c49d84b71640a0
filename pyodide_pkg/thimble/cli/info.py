"""`thimble info`: what a file is, and what running it takes. Only the header is read."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from typing import Any

from ..errors import ThimbleError
from ..footprint import weights_bytes
from ..gguf import GGUFHeader, TensorInfo
from ..kernel import default_kernel
from ..model_config import ModelConfig, config_from_header
from ..split import check_whole, opened
from ..state import state_bytes
from ..tokenizer import tokenizer_from_metadata
from . import inputs
from .command import Command


def add_arguments(parser: ArgumentParser) -> None:
    inputs.add_model(parser)
    inputs.add_json(parser)


def run(options: Namespace) -> int:
    with opened(inputs.model_path(options.model)) as (_, header, nbytes):
        facts = describe(header, nbytes)
    if options.json:
        inputs.print_json(facts)
    else:
        print("\n".join(_lines(facts)))
    return 0


def describe(header: GGUFHeader, file_bytes: int) -> dict[str, Any]:
    """What `--json` prints: plain values only. `problem` says why a file does not run here, and
    what depends on running, `config` and `memory`, is then None."""
    metadata = header.metadata
    facts: dict[str, Any] = {
        "name": metadata.get("general.name"),
        "architecture": metadata.get("general.architecture"),
        "license": metadata.get("general.license"),
        "gguf_version": header.version,
        "file_bytes": file_bytes,
        "parameters": sum(t.n_elements for t in header.tensors),
        "tensor_types": _tensor_types(header.tensors),
        "config": None,
        "tokenizer": None,
        "chat_template": "tokenizer.chat_template" in metadata,
        "memory": None,
        "problem": None,
    }
    try:
        check_whole(str(facts["name"] or "the file"), header)
        facts["tokenizer"] = _tokenizer(metadata)
        config = config_from_header(header)
    except ThimbleError as error:
        facts["problem"] = str(error)
    else:
        facts["config"] = dataclasses.asdict(config)
        facts["memory"] = memory(header, config)
    return facts


def memory(header: GGUFHeader, config: ModelConfig) -> dict[str, int]:
    """Bytes of kernel memory: the weights, and the keys and values of a whole context."""
    kernel = default_kernel()
    return {
        "weights": weights_bytes(kernel, header.tensors, config),
        "cache": state_bytes(kernel, config, config.n_ctx),
    }


def _tensor_types(tensors: tuple[TensorInfo, ...]) -> dict[str, dict[str, int]]:
    """How many tensors, and bytes, there are of each encoding."""
    types: dict[str, dict[str, int]] = {}
    for tensor in tensors:
        entry = types.setdefault(tensor.type.name, {"tensors": 0, "bytes": 0})
        entry["tensors"] += 1
        entry["bytes"] += tensor.nbytes
    return types


def _tokenizer(metadata: dict[str, Any]) -> dict[str, Any]:
    tokenizer = tokenizer_from_metadata(metadata)
    return {
        "kind": metadata.get("tokenizer.ggml.model"),
        "pre": metadata.get("tokenizer.ggml.pre"),
        "n_vocab": tokenizer.n_vocab,
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """The same for people, a line a fact."""
    types = ", ".join(f"{v['tensors']} {name}" for name, v in facts["tensor_types"].items())
    rows = [
        ("name", facts["name"] or "none stated"),
        ("architecture", facts["architecture"] or "none stated"),
        ("licence", facts["license"] or "none stated"),
        ("file", f"{facts['file_bytes']:,} bytes, GGUF {facts['gguf_version']}"),
        ("parameters", f"{facts['parameters']:,}"),
        ("tensors", types or "none"),
    ]
    if tok := facts["tokenizer"]:
        kind = tok["kind"] if tok["pre"] is None else f"{tok['kind']} ({tok['pre']})"
        rows.append(("tokenizer", f"{kind}, {tok['n_vocab']:,} tokens"))
    if config := facts["config"]:
        rows += [
            ("layers", f"{config['n_layers']}, {config['dim']:,} wide, hidden "
             f"{config['hidden_dim']:,}"),
            ("heads", f"{config['n_heads']} of {config['head_dim']}, {config['n_kv_heads']} for "
             "keys and values"),
            ("context", f"{config['n_ctx']:,} tokens"),
            ("chat", "yes" if facts["chat_template"] else "no template"),
            ("memory", f"{facts['memory']['weights']:,} bytes for weights, "
             f"{facts['memory']['cache']:,} for a full context"),
        ]  # fmt: skip
    if facts["problem"]:
        rows.append(("runs here", f"no: {facts['problem']}"))
    return [f"{label:<14}{value}" for label, value in rows]


COMMAND = Command("info", "say what a model file is", add_arguments, run)
