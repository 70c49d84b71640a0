# Search your own lines by what they are about: each becomes a vector, and near ones are alike.
notes = """The dog ran after the ball in the park.
Mom baked a cake for the birthday party.
The little boat sailed on the big blue sea.
A cat slept in the sun all day.
They put sugar and flour into a bowl."""
question = "The puppy played outside with a toy."

lines = notes.splitlines()
*vectors, asked = thimble.embed(model, [*lines, question])
likeness = [sum(a * b for a, b in zip(vector, asked)) for vector in vectors]

print(question)
for score, line in sorted(zip(likeness, lines), reverse=True):
    print(f"{score:7.3f}  {line}")
assert -1.001 < min(likeness) <= max(likeness) < 1.001
