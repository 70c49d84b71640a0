"""The hosts that a server answers for: what a request may name in `Host`.

Links that must be whole are made from that header, so somebody who may choose it freely chooses
where they lead. A server that is told its names refuses all others. It knows names, no addresses
of requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import OptionError

if TYPE_CHECKING:  # names are checked before anything says that Starlette is missing
    from starlette.types import ASGIApp, Receive, Scope, Send

UNCHECKED = frozenset({"/healthz"})
"""Asked by programs on the same machine, by its address; the answer names no host."""
HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_PORT = re.compile(r":[0-9]{1,5}\Z")


class Hosts:
    """Names such as `example.org` and `*.example.org`, which are the names below it; none is all.

    Raises OptionError for what is no such name.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        for name in names:
            if not _NAME.fullmatch(name.lower()):
                raise OptionError(
                    f"the allowed host is {name!r}; it must be a name like example.org or "
                    "*.example.org, without scheme, port or path"
                )
        self.names = tuple(name.lower() for name in names)
        self._known: set[bytes] = set()

    def allow(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers, whose names are in lower case, is for this server.

        A request that names two hosts, or none, is for nobody.
        """
        if not self.names:
            return True
        named = [value for name, value in headers if name == b"host"]
        if len(named) != 1:
            return False
        [value] = named
        if value in self._known:
            return True
        allowed = self._is_ours(value.decode("latin-1"))
        if allowed and len(self._known) < 64:  # a port may be written in many ways
            self._known.add(value)
        return allowed

    def _is_ours(self, value: str) -> bool:
        host = _PORT.sub("", value).lower()
        return any(
            host.endswith(name[1:]) and len(host) >= len(name) if name[0] == "*" else host == name
            for name in self.names
        )


class AllowedHosts:
    """Refuse requests for other hosts, before anything looks at them."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._passes(scope):
            await self.app(scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 421, "headers": HEADERS})
            body = b"This server does not answer for that host.\n"
            await send({"type": "http.response.body", "body": body})

    def _passes(self, scope: Scope) -> bool:
        place = scope["path"].removeprefix(scope.get("root_path", ""))
        return place in UNCHECKED or self.hosts.allow(scope["headers"])
