"""How a checkout becomes a running site; every module here is run by `make` (see docs/build.md)."""
