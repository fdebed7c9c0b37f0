"""Train a character-level language model, and let it write.

    python -m examples.char_lm                       # Python's language reference: no network
    python -m examples.char_lm --preset shakespeare  # Tiny Shakespeare, downloaded once
    python -m examples.char_lm --compile             # the step is recorded once, and replayed
    python -m examples.char_lm --workers 2           # a batch is divided over two threads
    python -m examples.char_lm --processes 2         # … over two processes: faster on a CPU
    mpiexec -n 2 python -m examples.char_lm --parallel mpi       # … which may be on two machines
    python -m examples.char_lm --resume              # go on where a run was stopped
    python -m examples.char_lm --resume --prompt "The " --sample 500   # a trained one writes again

The run's folder receives the loss curve, the drawn graph, a sample and the trained model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from examples import cli
from examples.cli import option
from minigrad import data, optim, parallel
from minigrad.data import datasets
from minigrad.training import Mean, Trainer
from models.char_lm import LAYERS, CharLM


@dataclass(frozen=True)
class Config:
    """What can be chosen."""

    data: str = option("python", "text to learn", choices=("python", "shakespeare"))
    kind: str = option("lstm", "recurrent layer", choices=tuple(sorted(LAYERS)))
    layers: int = option(1, "recurrent layers")
    embedding: int = option(64, "length of a character's vector")
    hidden: int = option(256, "units per layer")
    dropout: float = option(0.0, "dropout probability")
    epochs: int = option(7, "passes over the text")
    batch: int = option(16, "streams read side by side")
    steps: int = option(64, "characters per block: truncated backpropagation through time")
    lr: float = option(8e-3, "Adam's learning rate; it falls to zero along a cosine")
    clip: float = option(1.0, "largest gradient norm")
    temperature: float = option(0.6, "of the samples: 0 is greedy, 1 is the model's own")
    top_k: int | None = option(None, "sample among the k most likely characters only")
    prompt: str | None = option(None, "how the samples begin (default: as the text does)")
    sample: int = option(300, "characters to write at the end")
    limit: int | None = option(None, "use only so many characters of the text")
    seed: int = option(0, "of everything random")
    device: str = option(cli.DEVICE, "cpu, cuda or cuda:N")
    workers: int = option(1, "threads that divide each batch")
    compile: bool = option(False, "record the training step, and replay it: the same numbers")
    processes: int = option(1, "processes that divide each batch, forked from this one")
    parallel: str | None = option(
        None, "join the processes that mpiexec started, which do the same", choices=("mpi", "nccl")
    )
    out: str = option("runs/char_lm", "folder for the results")
    resume: bool = option(False, "go on with the run in the folder, with its options")


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 2, "limit": 20_000, "hidden": 32, "embedding": 16, "sample": 80},
    "shakespeare": {
        "data": "shakespeare", "layers": 2, "hidden": 128, "epochs": 14, "batch": 32, "lr": 4e-3,
        "temperature": 0.8, "out": "runs/char_lm_shakespeare",
    },
}  # fmt: skip
TEXTS = {"python": datasets.python_reference, "shakespeare": datasets.tiny_shakespeare}


def step(model: CharLM, batch: Any, state: Any) -> tuple[mg.Tensor, Any]:
    """The loss of a block, and the state that the next block starts from."""
    x, y = batch
    logits, state = model(x, state)
    return mg.cross_entropy(logits, y), state


def evaluate(model: CharLM, ids: np.ndarray, *, batch: int = 8, steps: int = 256) -> float:
    """Mean negative log likelihood of a text, in nats per character, with the state carried on."""
    mean, state = Mean(), None
    for block in data.BlockDataset(ids, batch_size=batch, steps=steps):
        loss, state = step(model, block, state)
        mean.add(loss.item(), weight=block[1].size)
    return mean.value


def train(config: Config, group: parallel.Group) -> cli.Figures:
    """Train and write the results; returns the final figures."""
    folder = cli.start(config, group)
    text, valid_text = (TEXTS[config.data](split)[: config.limit] for split in ("train", "valid"))
    vocabulary = data.Vocabulary(sorted(set(text + valid_text)))
    ids, valid_ids = vocabulary.encode(text), vocabulary.encode(valid_text)
    model = CharLM(
        len(vocabulary),
        embedding_size=config.embedding,
        hidden_size=config.hidden,
        num_layers=config.layers,
        kind=config.kind,
        dropout=config.dropout,
    )
    sizes = f"{len(ids):,} characters to learn, {len(valid_ids):,} to validate"
    print(f"{config.data}: {sizes}, {len(vocabulary)} symbols\n{model}")
    prompt = config.prompt or text[: text.find(" ") + 1] or text[:1]
    prompt_ids = vocabulary.encode(prompt)

    def write(length: int) -> str:
        drawn = model.generate(
            prompt_ids,
            length,
            temperature=config.temperature,
            top_k=config.top_k,
            seed=config.seed,
        )
        return prompt + "".join(vocabulary.decode(drawn))

    def validate(model: CharLM) -> dict[str, float]:
        loss = evaluate(model, valid_ids)
        return {"valid_loss": loss, "bits": loss / math.log(2)}

    blocks = data.BlockDataset(ids, batch_size=config.batch, steps=config.steps, shard=group.shard)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    trainer = Trainer(
        model,
        optimizer,
        step,
        data.DataLoader(blocks, batch_size=None),
        evaluate=validate,
        schedule=optim.CosineAnnealingLR(optimizer, T_max=config.epochs * len(blocks)),
        schedule_every="batch",
        clip_norm=config.clip,
        store=folder,
        save_every=200,
        group=group,
        workers=config.workers,
        compile=config.compile,
        batch_axes=(1, 1),
        carry_axis=1,
        callbacks=[lambda *_: print(f"    “{' '.join(write(90).split())}”", flush=True)],
    )
    if config.resume:
        cli.resume(trainer)
    history = trainer.fit(config.epochs)
    trainer.load_best()
    best = min(history["valid_loss"])
    figures = {"valid_loss": best, "epochs": len(history), "seconds": sum(history["seconds"])}
    if not group.main:
        return figures
    model.eval()
    sample = write(config.sample)
    folder.write_text("sample.txt", sample + "\n")
    print(f"\n{sample}\n")

    x, y = blocks[0]
    loss, _ = step(model, (x[:8, :4], y[:8, :4]), None)  # a small one, to draw
    loss.name = "loss"
    loss.backward()
    about = {"model": "char_lm", "symbols": vocabulary.to_dict(), "config": vars(config)}
    names = {"train_loss": "training", "valid_loss": "validation"}
    paths = [
        cli.save_loss_curve(folder, history, names),
        cli.save_graph(folder, loss, model),
        cli.save_model(folder, model, about),
        folder.path / "sample.txt",
    ]
    print(f"best validation loss {best:.4f} nats = {best / math.log(2):.3f} bits per character")
    cli.report(folder, paths)
    return figures


def main(argv: list[str] | None = None) -> cli.Figures:
    """The command line."""
    return cli.main(Config, __doc__, PRESETS, train, argv)


if __name__ == "__main__":
    main()
