"""Specialists: a model's adapter that does one job, made of examples, measured, kept in one file.

    examples = read_examples(Path("intents.csv").read_bytes())     # examples.py
    tuner = TaskTuner(Base(model_bytes), examples)                 # tuner.py
    while not tuner.done:
        tuner.step()
    task = tuner.task("intent")                                    # task.py
    with task.open(model) as answerer:
        answerer.answer("where is my parcel?").text                # answer.py

`measure.py` says how good it is beside its base. It knows nothing of files' paths, pages and clocks
other than how long an answer took.
"""
