"""What the site's answers say of types and of security. Knows names and values only.

The server sends these headers (`server.py`), an export writes them into its pages and `_headers`
(`export.py`), and the service worker puts them on what it answers itself (`precache.py`), so that
what lies in the browser's cache never decides what a page may do.
"""

from __future__ import annotations

from pathlib import PurePosixPath

# What the page may do. Pyodide needs WebAssembly compilation and nothing else of `eval`'s kind; a
# worker obeys the policy that its own script came with, so assets carry this one too.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self'",
    "connect-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "manifest-src": "'self'",
    "frame-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}


def policy(**other: str) -> str:
    """The policy as a header says it, with other values; names are written with underscores."""
    values = {**POLICY, **{name.replace("_", "-"): value for name, value in other.items()}}
    return "; ".join(f"{name} {value}" for name, value in values.items())


SECURITY_HEADERS = {
    "Content-Security-Policy": policy(),
    # The page gets a memory that threads may share; everything it needs is of its own origin.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# The one page that may fetch from other hosts: a model that a link names and the visitor agrees to.
# It is a page, in a frame, because code in a worker, like the console's, can make workers and no
# frames. It knows no prompt and no text (docs/offline.md). Addresses of one's own machine are
# allowed without encryption, to try it out.
FETCHING_HEADERS = {
    **SECURITY_HEADERS,
    "Content-Security-Policy": policy(
        script_src="'self'",
        worker_src="'none'",
        connect_src="'self' https: http://localhost:* http://127.0.0.1:*",
        frame_src="'none'",
        frame_ancestors="'self'",
    ),
}
# Other sites embed these files; none of them carries anything personal.
EMBED_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, ETag",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Timing-Allow-Origin": "*",
}
FILE_HEADERS = {**EMBED_HEADERS, **SECURITY_HEADERS}
"""Of scripts, the engine and all other files of the site."""
# The page inside an iframe asks nothing of the page around it, and any page may be around it: also
# one that is isolated, like ours, which takes no frame without this embedder policy. In a sandbox
# it has no origin, so that its worker starts from a line of data.
FRAME_HEADERS = {
    "Content-Security-Policy": policy(
        worker_src="'self' data:", frame_src="'none'", frame_ancestors="* file:"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    **{name: SECURITY_HEADERS[name] for name in (
        "Cross-Origin-Embedder-Policy", "X-Content-Type-Options", "Referrer-Policy",
        "Permissions-Policy",
    )},
}  # fmt: skip

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gguf": "application/octet-stream",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".whl": "application/zip",
    ".woff2": "font/woff2",
    ".zip": "application/zip",
}


def media_type(name: str) -> str:
    """What a file is, by its name."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
