"""OpenAI's routes over models of one's own: `thimble serve --api`.

    routes.py    what is answered at which address, to whom, and with which errors
    request.py   from a request to options of the engine
    answer.py    from what the engine writes to OpenAI's objects
    responses.py the same of OpenAI's Responses
    runner.py    models in memory, one generation at a time each

Prompts are answered on the machine that serves; nothing is written down.
"""
