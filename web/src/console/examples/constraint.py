# A constrained text: JSON that is valid against a schema, whatever the model would rather say.
import json

from thimble import constrain

schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 1, "maximum": 99},
        "likes": {"type": "array", "items": {"enum": ["cake", "rain", "dogs"]}, "maxItems": 2},
    },
    "required": ["name", "age", "likes"],
}
grammar = constrain.json_schema(schema)
for seed in range(3):
    params = thimble.SamplingParams(grammar=grammar, max_tokens=120, seed=seed)
    chunks = model.session().generate("There was a girl. ", params)
    text = "".join(chunk.text for chunk in chunks)
    print(json.loads(text))
