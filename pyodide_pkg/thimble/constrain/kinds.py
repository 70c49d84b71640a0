"""Kinds of regular expressions (`regular.py`)."""

NOTHING, EPSILON, BYTES, WORDS, SEQ, ALT, BOTH, NOT, REPEAT, LEAF, STATE = range(11)
