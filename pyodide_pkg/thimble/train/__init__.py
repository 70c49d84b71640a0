"""How a model is trained from text. One recipe file, two trainers.

With our own kernels, to the same bits everywhere, natively and in the page:

    recipe.py         every choice of a run, read from one JSON file
    sizes.py          the dial: one number that fixes a network's shape
    corpus.py         a text: what is learned from, what is held out, what is no text
    vocabulary.py     the tokenizer, trained in plain Python
    rows.py           pieces of text into full rows of tokens
    counter.py        random integers
    schedule.py       the learning rate, and when a run ends
    network.py        weights and gradients in kernel memory
    trainer.py        steps, measurements, samples, files
    state.py          a checkpoint's bytes
    model_file.py     weights to GGUF
    receipt.py        what a run was, and whether it is true

    thimble train RECIPE.json --data TEXT --out run/

With PyTorch, for GPUs and many machines; the extra `train` brings what it needs:

    data.py           stories to rows of token ids
    bpe.py            the tokenizer
    torch_model.py    the network
    optim.py          Muon
    evaluate.py       bits per byte while it trains
    checkpoint.py     what is kept of a run, so that it goes on after a stop
    torch_trainer.py  the loop, for one process or many
    processes.py      the processes
    export.py         a checkpoint to GGUF

    python -m thimble.train.torch_trainer web/models/story.recipe.json \\
        --data train.txt --heldout heldout.txt --out run/ [--resume]
    python -m thimble.train.export run/final.pt --out story.gguf

Nothing here is imported by the engine, and importing this package needs neither PyTorch nor NumPy.
"""
