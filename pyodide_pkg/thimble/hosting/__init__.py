"""How the built site is handed out: over HTTP, as a folder, with one's own models beside it.

Only the commands `thimble serve` and `thimble export` and the server use this; it is no part of
what a page gets. It needs the packages of the extra `serve`, except for `models` and `front_end`.
"""
