"""Hostile input: named files, and a machine that makes more of them (`make fuzz`).

What is read: GGUF (headers; models of every architecture and tensor type, loaded and run; parts),
safetensors with their index, `tokenizer.json`, whole folders, llama2.c's files and nanoGPT's
checkpoints converted, constraints and recordings. Input i of a seed is always the same:
`ARGS="--seed 1 --first 7 --runs 1"`. A process of its own reads them, and may die.

Wrong is any error that is not one of ours, a crash, more than a second of processor time, or memory
beyond twice the input and 1 MiB. Python's own memory is counted for one input in 16; the process's
growth, beyond 16 MiB, for all. A key's text takes its bytes once more while it is made, and
a tokenizer is made only when all tensors have come: both may exceed the rule.
"""
