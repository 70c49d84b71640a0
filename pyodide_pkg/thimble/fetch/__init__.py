"""Models by address: what may be written for one, its way here, and the folder that keeps it.

    path = local("hf.co/USER/REPOSITORY/FILE.gguf")

Native only: a page streams its models itself (`web/src/bring/`). Nothing is asked of the network
for what is a path, or is in the folder already.
"""

from .folder import catalogue, get, local, models_folder

__all__ = ["catalogue", "get", "local", "models_folder"]
