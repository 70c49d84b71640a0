"""Hostile input: named files, and a machine that makes more of them."""
