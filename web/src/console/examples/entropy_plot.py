# How sure the model is, token by token, as a picture.
from thimble import plot

params = thimble.SamplingParams(max_tokens=40, temperature=0.8, seed=1)
chunks = list(model.session().generate("Once upon a time", params))
words = [tokenizer.token_bytes(chunk.id).decode("utf-8", "replace") for chunk in chunks]
print("Once upon a time" + "".join(chunk.text for chunk in chunks))

plot.bars([chunk.entropy for chunk in chunks], words, "Entropy before each token, in nats")
