# Ban a letter: no token with an "e" in it can be drawn.
letter = "e"
banned = [
    token
    for token in range(tokenizer.n_vocab)
    if letter.encode() in tokenizer.token_bytes(token).lower()
]
print(f"{len(banned)} of {tokenizer.n_vocab} tokens have an {letter!r} in them.")


def without(logits, context):
    for token in banned:
        logits[token] = float("-inf")
    return context.choose(logits)  # Thimble's own stages, with the page's settings


params = thimble.SamplingParams(max_tokens=60, temperature=0.8, seed=3)
prompt = "A small dog was "
text = "".join(p.text for p in model.session().generate(prompt, params, sampler=without))
print(prompt + text)
assert letter not in text.lower()
# thimble.page.sampler = without
