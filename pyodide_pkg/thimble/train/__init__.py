"""How a model is trained from text with PyTorch, natively; the extra `train` brings what it needs.

In the order in which data meets them:

    recipe.py         every choice of a run, read from one JSON file
    data.py           stories to rows of token ids
    bpe.py            the tokenizer
    torch_model.py    the network
    optim.py          Muon
    schedule.py       the learning rate, and when a run ends
    evaluate.py       bits per byte while it trains
    checkpoint.py     what is kept of a run, so that it goes on after a stop
    torch_trainer.py  the loop, for one process or many
    export.py         a checkpoint to GGUF

    python -m thimble.train.torch_trainer web/models/story.recipe.json \\
        --data train.txt --heldout heldout.txt --out run/ [--resume]
    python -m thimble.train.export run/final.pt --out story.gguf

Nothing here is imported by the engine, and importing this package needs neither PyTorch nor NumPy.
"""
