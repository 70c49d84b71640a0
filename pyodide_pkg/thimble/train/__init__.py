"""How a model is trained from text. One recipe file, one trainer, two that compute.

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
    receipt.py        what a run was
    verifying.py      whether that is true
    finetune.py       runs that begin from a model
    low_rank.py       the network of those that learn an adapter

    thimble train RECIPE.json --data TEXT --out run/ [--base MODEL.gguf]

With PyTorch, for GPUs and for many machines; a recipe asks for it, and the extra `train` brings it:

    torch_trainer.py  what differs in a step, in one process or many
    torch_network.py  the weights, their gradients and optimizers
    torch_model.py    the network
    optim.py          Muon
    rounding.py       matrices as an encoding rounds them
    processes.py      the processes

    torchrun --nproc-per-node 2 -m thimble train RECIPE.json --data TEXT --out run/

Nothing here is imported by the engine, and importing this package needs neither PyTorch nor NumPy.
"""
