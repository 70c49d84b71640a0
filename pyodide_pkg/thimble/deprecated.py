"""Old names of what is public: they work for one version more, with a DeprecationWarning."""

from __future__ import annotations


def warn(old: str, new: str) -> None:
    """Say that the name which the caller's caller used is going."""
    import warnings  # who uses no old name does not wait for it

    message = f"{old} is called {new} now; the old name goes with the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
