# How sure the model is, token by token, as a picture.
from thimble import plot

params = thimble.SamplingParams(max_tokens=40, temperature=0.8, seed=1)
pieces = list(model.session().generate("Once upon a time", params))
words = [tokenizer.token_bytes(piece.id).decode("utf-8", "replace") for piece in pieces]
print("Once upon a time" + "".join(piece.text for piece in pieces))

plot.bars([piece.entropy for piece in pieces], words, "Entropy before each token, in nats")
