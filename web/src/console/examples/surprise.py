# How surprised the model is by a text: in bits, token by token, and per byte.
from math import log

text = "The cat sat on the mat. The cat sat on the moon."
copy = model.session()
ids = tokenizer.encode(text)
scores = copy.score(ids)  # all but the first: nothing comes before it

bits = 0.0
for choice in scores:
    text = tokenizer.token_bytes(choice.id).decode("utf-8", "replace")
    surprise = -choice.logprob / log(2)
    bits += surprise
    print(f"{surprise:6.2f} {'▇' * round(surprise)} {text!r}")
size = len(text.encode())
print(f"{bits:.1f} bits for {size} bytes: {bits / size:.2f} bits per byte")
