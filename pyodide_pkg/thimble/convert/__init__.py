"""Models of others' formats become GGUF files: each format a file here. It needs NumPy."""
