# The likeliest token every time, or drawn: the same prompt, written five times.
prompt = "Tom had a red ball. One day,"


def write(**settings):
    params = thimble.SamplingParams(max_tokens=32, **settings)
    chunks = list(model.session().generate(prompt, params))
    return "".join(p.text for p in chunks), sum(p.logprob for p in chunks)


text, logprob = write(temperature=0)
print(f"greedy  {logprob:7.1f}  {text}")
for seed in range(4):
    text, logprob = write(temperature=1.0, seed=seed)
    print(f"seed {seed}  {logprob:7.1f}  {text}")
print("The numbers are log-probabilities of the whole: nearer to zero is likelier.")
