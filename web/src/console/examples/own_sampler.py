# A sampler of your own: the best and second best in turn.
# Run it, then press Write in the first panel. "Reset the sampler" ends it.


def second_thoughts(logits, context):
    """Choose the next token: an id. `context` knows what came before."""
    order = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)
    return order[context.position % 2]


thimble.page.sampler = second_thoughts

# The same function works on any session.
params = thimble.SamplingParams(max_tokens=40)
prompt = "Once upon a time"
chunks = model.session().generate(prompt, params, sampler=second_thoughts)
print(prompt + "".join(chunk.text for chunk in chunks))
