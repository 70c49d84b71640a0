"""What a GGUF file says of its vocabulary, checked: tokens, their types, and the special ids.

It knows the keys `tokenizer.ggml.*` that all kinds of tokenizer share, and how they can lie. It
does not know how a text becomes tokens. Types and defaults are llama.cpp's, so that a file means
the same here and there (https://github.com/ggml-org/llama.cpp, src/llama-vocab.cpp).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import FormatError
from ..gguf_lists import Numbers, Texts

PREFIX = "tokenizer.ggml."
NO_ID = 0xFFFFFFFF  # some writers store -1, "there is none", in an unsigned key

# Token types, by the GGUF specification's numbers; anything else counts as UNDEFINED.
UNDEFINED, NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(7)
TYPES = frozenset(range(7))

# Where a space goes before a text, between special tokens too: before each stretch; before each
# that begins with none; before the first, where it begins with none.
ALWAYS, MISSING, FIRST = SPACE_SCHEMES = ("always", "missing", "first")

# Tokens whose text says that they end a text or a turn, whatever type the file gives them.
END_TEXTS = (
    "</s>", "<EOT>", "<end_of_turn>", "<end_of_utterance>", "<eos>", "<turn|>", "<|call|>",
    "<|calls|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>", "<|eom_id|>", "<|eot_id|>",
    "<|flush|>", "<|im_end|>", "<|return|>", "<|tool_response>", "<\uff5cend\u2581of\u2581sentence"
    "\uff5c>", "[EOS]", "[EOT]", "[e~[", "_<EOT>",
)  # fmt: skip

# Fill-in-the-middle tokens: the keys that may name each, and else the texts that betray it. The
# flag says whether it ends a text, too.
FIM_TOKENS: tuple[tuple[tuple[str, ...], tuple[str, ...], bool], ...] = (
    (("fim_pre", "prefix"), ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>",
     "<\uff5cfim\u2581begin\uff5c>", "<PRE>", "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>"),
     False),
    (("fim_suf", "suffix"), ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",
     "<\uff5cfim\u2581hole\uff5c>", "<SUF>", "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>"),
     False),
    (("fim_mid", "middle"), ("<|fim_middle|>", "<fim-middle>", "<fim_middle>",
     "<\uff5cfim\u2581end\uff5c>", "<MID>", "\u2581<MID>", "<|code_middle|>", "<|middle|>"),
     False),
    (("fim_pad",), ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"), True),
    (("fim_rep",), ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"), True),
    (("fim_sep",), ("<|file_sep|>",), True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A checked vocabulary of n tokens; ids are 0 .. n - 1, `types` has one number a token.

    Where `tokens` come from a file they are in the metadata, too, and made when they are asked for:
    the keys of `ids` are the only ones that are held as texts, in the order of the ids.
    """

    tokens: Sequence[str]
    types: bytes
    ids: dict[str, int]
    bos_id: int | None
    eos_id: int | None
    unk_id: int | None
    eog_ids: frozenset[int]
    add_bos: bool
    add_eos: bool
    left_strip: frozenset[int] = frozenset()
    """Tokens, found in a text as they are written, before which white space is dropped."""
    right_strip: frozenset[int] = frozenset()
    """The same behind them."""
    whole_words: frozenset[int] = frozenset()
    """The same that are found only where no letter or number stands beside them."""


def read_vocabulary(
    metadata: Mapping[str, object],
    *,
    add_bos: bool = False,
    default_ids: Mapping[str, int] | None = None,
) -> Vocabulary:
    """Check what `metadata` says of the tokens and give it a shape.

    `add_bos` is the tokenizer kind's default, `default_ids` its ids of "bos", "eos" and "unknown"
    where the file names none. Raises FormatError.
    """
    tokens, ids = _read_tokens(metadata)
    n = len(tokens)
    if len(ids) != n:
        second = next(i for i, token in enumerate(tokens) if ids[token] != i)
        raise FormatError(f"{PREFIX}tokens has {tokens[second]!r} twice; tokens must differ")
    types = _read_types(metadata, n)
    special: dict[str, int | None] = {}
    for name in ("bos", "eos", "unknown", "eot", "eom"):
        default = (default_ids or {}).get(name)
        known = default if default is not None and default < n else None
        special[name] = read_id(metadata, f"{name}_token_id", n, known)
    ends = {ids[text] for text in END_TEXTS if text in ids}
    for i in ends:
        types[i] = CONTROL
    ends |= _mark_fim(metadata, ids, types)
    named = (special[name] for name in ("eos", "eot", "eom"))
    ends |= {token_id for token_id in named if token_id is not None}
    ends |= read_ids(metadata, "eog_token_ids", n)
    vocabulary = Vocabulary(
        tokens=tokens,
        types=bytes(types),
        ids=ids,
        bos_id=special["bos"],
        eos_id=special["eos"],
        unk_id=special["unknown"],
        eog_ids=frozenset(ends),
        add_bos=read_flag(metadata, "add_bos_token", add_bos),
        add_eos=read_flag(metadata, "add_eos_token", False),
        left_strip=read_ids(metadata, "lstrip_token_ids", n),
        right_strip=read_ids(metadata, "rstrip_token_ids", n) | _dropping(metadata, ids, types),
        whole_words=read_ids(metadata, "single_word_token_ids", n),
    )
    for wanted, known, name in (
        (vocabulary.add_bos, vocabulary.bos_id, "bos"),
        (vocabulary.add_eos, vocabulary.eos_id, "eos"),
    ):
        if wanted and known is None:
            raise FormatError(f"{PREFIX}add_{name}_token is true, but there is no {name}_token_id")
    return vocabulary


def _dropping(
    metadata: Mapping[str, object], ids: dict[str, int], types: Sequence[int]
) -> frozenset[int]:
    """Phi-3's tokens were learnt without the white space behind them. No key says so: llama.cpp
    goes by the model's name, and so do we."""
    name = metadata.get("general.name")
    if not isinstance(name, str) or not any(word in name.lower() for word in ("phi-3", "phi3")):
        return frozenset()
    special = (CONTROL, UNKNOWN, USER_DEFINED)
    keeping = ("<unk>", "<s>", "<|endoftext|>")
    return frozenset(i for token, i in ids.items() if types[i] in special and token not in keeping)


def read_sequence(metadata: Mapping[str, object], key: str) -> Sequence[object] | None:
    """The list at `tokenizer.ggml.` + `key`; None where there is none. Raises FormatError."""
    value = metadata.get(PREFIX + key)
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray)):
        raise FormatError(f"{PREFIX}{key} must be a list, not {_show(value)}")
    return value


def read_strings(metadata: Mapping[str, object], key: str) -> Sequence[str]:
    """The list of strings at `tokenizer.ggml.` + `key`. Raises FormatError, also without it."""
    values = read_sequence(metadata, key)
    if values is None:
        raise FormatError(f"{PREFIX}{key} is missing")
    if isinstance(values, Texts):
        return values  # checked when the file was read
    strings = [value for value in values if isinstance(value, str)]
    if len(strings) != len(values):
        bad = next(i for i, value in enumerate(values) if not isinstance(value, str))
        raise FormatError(f"{PREFIX}{key}[{bad}] must be a string, not {_show(values[bad])}")
    try:
        "\n".join(strings).encode()
    except UnicodeEncodeError:
        bad = next(i for i, s in enumerate(strings) if any("\ud800" <= c <= "\udfff" for c in s))
        raise FormatError(f"{PREFIX}{key}[{bad}] is not text: {_show(strings[bad])}") from None
    return strings


def read_id(
    metadata: Mapping[str, object], key: str, n_vocab: int, default: int | None = None
) -> int | None:
    """The token id at `tokenizer.ggml.` + `key`. Raises FormatError where it is out of range."""
    value = metadata.get(PREFIX + key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise FormatError(f"{PREFIX}{key} must be an integer, not {_show(value)}")
    if value in (NO_ID, -1):
        return None
    if not 0 <= value < n_vocab:
        raise FormatError(f"{PREFIX}{key} is {value}; token ids are 0 to {n_vocab - 1}")
    return value


def read_ids(metadata: Mapping[str, object], key: str, n_vocab: int) -> frozenset[int]:
    """The token ids at `tokenizer.ggml.` + `key`, keys of ours that llama.cpp passes over; none
    where there is no such key. Raises FormatError."""
    found = set()
    for value in read_sequence(metadata, key) or ():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < n_vocab:
            raise FormatError(f"{PREFIX}{key} has {_show(value)}; token ids are 0 to {n_vocab - 1}")
        found.add(value)
    return frozenset(found)


def read_space_scheme(metadata: Mapping[str, object], default: str | None) -> str | None:
    """Where a space goes before a text: one of `SPACE_SCHEMES`, by a key of ours. Raises
    FormatError."""
    return read_choice(metadata, "space_prefix_scheme", SPACE_SCHEMES) or default


def read_choice(metadata: Mapping[str, object], key: str, choices: tuple[str, ...]) -> str | None:
    """One of some words at `tokenizer.ggml.` + `key`; None where there is none. Raises
    FormatError."""
    value = metadata.get(PREFIX + key)
    if value is None:
        return None
    if not isinstance(value, str) or value not in choices:
        raise FormatError(f"{PREFIX}{key} is {_show(value)}; {', '.join(choices)} are right")
    return value


def read_flag(metadata: Mapping[str, object], key: str, default: bool) -> bool:
    """The boolean at `tokenizer.ggml.` + `key`. Raises FormatError where it is something else."""
    value = metadata.get(PREFIX + key, default)
    if not isinstance(value, bool):
        raise FormatError(f"{PREFIX}{key} must be true or false, not {_show(value)}")
    return value


def read_name(metadata: Mapping[str, object], key: str, default: str | None = None) -> str:
    """The string at `tokenizer.ggml.` + `key`. Raises FormatError, also where nothing is known."""
    value = metadata.get(PREFIX + key, default)
    if value is None:
        raise FormatError(f"{PREFIX}{key} is missing")
    if not isinstance(value, str):
        raise FormatError(f"{PREFIX}{key} must be a string, not {_show(value)}")
    return value


def byte_of(token: str) -> int | None:
    """The byte that a token like `<0x0A>` stands for; None for a token of another form."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return int(token[3:5], 16) if token[3:5].isalnum() else None
        except ValueError:
            return None
    return None


def _read_tokens(metadata: Mapping[str, object]) -> tuple[Sequence[str], dict[str, int]]:
    """The tokens, and the id of each; of tokens that come twice, that of the last one."""
    tokens = read_strings(metadata, "tokens")
    if not tokens:
        raise FormatError(f"{PREFIX}tokens is empty; a vocabulary has at least one token")
    ids = {token: i for i, token in enumerate(tokens)}
    if "" in ids:
        # An empty token would match everywhere; llama.cpp gives it this name, too.
        tokens = [token or f"[EMPTY_{i}]" for i, token in enumerate(tokens)]
        ids = {token: i for i, token in enumerate(tokens)}
    return tokens, ids


def _read_types(metadata: Mapping[str, object], n: int) -> bytearray:
    values = read_sequence(metadata, "token_type")
    if values is None:
        return bytearray((NORMAL,)) * n
    if len(values) != n:
        raise FormatError(f"{PREFIX}token_type has {len(values)} values for {n} tokens")
    if isinstance(values, Numbers) and values.code not in "fd?" and set(values) <= TYPES:
        return bytearray(values)  # what the loop below would give, at once
    types = bytearray()
    for i, value in enumerate(values):
        if not isinstance(value, int) or isinstance(value, bool):
            raise FormatError(f"{PREFIX}token_type[{i}] must be an integer, not {_show(value)}")
        types.append(value if UNDEFINED < value <= BYTE else UNDEFINED)
    return types


def _mark_fim(metadata: Mapping[str, object], ids: dict[str, int], types: bytearray) -> set[int]:
    """Make the fill-in-the-middle tokens control tokens; give the ids of those that end a text."""
    ends = set()
    for keys, texts, is_end in FIM_TOKENS:
        fim_id = None
        for key in keys:
            fim_id = read_id(metadata, f"{key}_token_id", len(types), fim_id)
        if fim_id is None:
            found = [ids[text] for text in texts if text in ids]
            if not found:
                continue
            fim_id = min(found)
            types[fim_id] = CONTROL
        if is_end:
            ends.add(fim_id)
    return ends


def _show(value: object) -> str:
    """A value for an error message: short, whatever a file put there."""
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else ""
    return text if text and len(text) <= 60 else f"{text[:50]}... ({type(value).__name__})"
