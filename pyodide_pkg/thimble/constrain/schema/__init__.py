"""JSON Schema: what a schema says, and the automaton of the texts that are valid against it.

`document.py` finds schemas, `keywords.py` says what each keyword means, `logic.py` joins what they
say, `satisfy.py` finds out whether anything can be so, `automaton.py` follows a text.
"""
