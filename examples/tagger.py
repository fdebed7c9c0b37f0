"""Tag each word of a sentence with its part of speech.

    python -m examples.tagger                   # UD English EWT: downloaded, or from MINIGRAD_DATA
    python -m examples.tagger --char-hidden 0   # words only
    python -m examples.tagger --resume          # go on where a run was stopped

The run's folder receives the loss curve, the drawn graph, a report per tag and the trained model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from examples import cli
from examples.cli import option
from minigrad import data, optim, parallel
from minigrad.data import datasets
from minigrad.training import Trainer, accuracy, class_report, format_report
from models.tagger import Tagger, TaggerBatch

Sentence = tuple[Sequence[str], Sequence[str]]  # words, tags
UPOS = [  # the universal parts of speech: https://universaldependencies.org/u/pos/
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "SYM", "VERB", "X",
]  # fmt: skip


@dataclass(frozen=True)
class Config:
    """What can be chosen."""

    epochs: int = option(10, "passes over the sentences")
    batch: int = option(32, "sentences per batch, of similar length")
    word_size: int = option(100, "length of a word's vector, learned from scratch")
    char_size: int = option(32, "length of a character's vector")
    char_hidden: int = option(50, "states of the character LSTM each way; 0 for words only")
    hidden: int = option(128, "states of the sentence LSTM each way")
    layers: int = option(1, "layers of the sentence LSTM")
    dropout: float = option(0.5, "dropout probability")
    unknown: float = option(0.2, "how often a word seen once is trained as an unknown word")
    lr: float = option(3e-3, "Adam's learning rate; it falls to zero along a cosine")
    clip: float = option(5.0, "largest gradient norm")
    limit: int | None = option(None, "use only so many sentences of each part")
    seed: int = option(0, "of everything random")
    device: str = option(cli.DEVICE, "cpu, cuda or cuda:N")
    workers: int = option(1, "threads that divide each batch")
    processes: int = option(1, "processes that divide each batch, forked from this one")
    parallel: str | None = option(
        None, "join the processes that mpiexec started, which do the same", choices=("mpi", "nccl")
    )
    out: str = option("runs/tagger", "folder for the results")
    resume: bool = option(False, "go on with the run in the folder, with its options")


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "epochs": 2, "limit": 60, "hidden": 16, "word_size": 16, "char_size": 8, "char_hidden": 8,
        "batch": 8,
    },
}  # fmt: skip


class Batcher:
    """Sentences to `TaggerBatch`es: ids, padding, and each distinct word's spelling once."""

    def __init__(self, sentences: Sequence[Sentence], unknown: float) -> None:
        lowered = [[w.lower() for w in words] for words, _ in sentences]
        counts: dict[str, int] = {}
        for word in (w for words in lowered for w in words):
            counts[word] = counts.get(word, 0) + 1
        self.once = {word for word, n in counts.items() if n == 1}
        self.unknown = unknown
        self.words = data.Vocabulary.build(lowered, pad="<pad>", unk="<unk>")
        letters = [w for words, _ in sentences for w in words]
        self.chars = data.Vocabulary.build(letters, pad="<pad>", unk="<unk>")
        self.tags = data.Vocabulary(UPOS)

    def batch(
        self, sentences: Sequence[Sentence], rng: np.random.Generator | None = None
    ) -> TaggerBatch:
        """With `rng`, rare words become unknown ones now and then, so that their vector learns."""
        ids, spelt, order = [], [], {}
        for words, _ in sentences:
            row = self.words.encode(w.lower() for w in words)
            if rng is not None:
                rare = np.array([w.lower() in self.once for w in words])
                row[rare & (rng.random(len(row)) < self.unknown)] = self.words.unk_id
            ids.append(row)
            spelt.append(np.array([order.setdefault(w, len(order)) for w in words]))
        words, lengths = data.pad(ids)
        which, _ = data.pad(spelt)
        spelling, spelling_lengths = data.pad([self.chars.encode(w) for w in order])
        tags, _ = data.pad([self.tags.encode(tags) for _, tags in sentences], value=-100)
        return TaggerBatch(words, lengths, spelling, spelling_lengths, which, tags)


def step(model: Tagger, batch: TaggerBatch, _: None) -> mg.Tensor:
    """The loss of a batch, per word."""
    return mg.cross_entropy(model(batch), batch.tags)


def predict(model: Tagger, loader: data.DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true tags of all words."""
    pairs = [(model.predict(batch), batch.tags) for batch in loader]
    inside = [t != -100 for _, t in pairs]
    predicted = np.concatenate([p[m] for (p, _), m in zip(pairs, inside, strict=True)])
    return predicted, np.concatenate([t[m] for (_, t), m in zip(pairs, inside, strict=True)])


def train(config: Config, group: parallel.Group) -> cli.Figures:
    """Train and write the results; returns the final figures."""
    began = time.perf_counter()
    folder = cli.start(config, group)
    parts = {
        name: datasets.ud_english_ewt(name)[: config.limit] for name in ("train", "valid", "test")
    }
    batcher = Batcher(parts["train"], config.unknown)
    model = Tagger(
        len(batcher.words),
        len(batcher.chars),
        len(batcher.tags),
        word_size=config.word_size,
        char_size=config.char_size,
        char_hidden=config.char_hidden,
        hidden_size=config.hidden,
        num_layers=config.layers,
        dropout=config.dropout,
    )
    lengths = {name: [len(s[0]) for s in sentences] for name, sentences in parts.items()}
    sampler = data.BucketSampler(lengths["train"], config.batch, seed=config.seed)
    sizes = f"{len(parts['train']):,} sentences, {sum(lengths['train']):,} words"
    print(f"UD English EWT: {sizes}; {sampler.waste:.1%} of the batches is padding\n{model}")

    def collate(sentences: list[Sentence]) -> TaggerBatch:
        # What is random about a batch depends on the batch alone: a resumed run repeats it.
        seed = [config.seed, loader.epoch, *map(len, (s[0] for s in sentences))]
        return batcher.batch(sentences, np.random.default_rng(seed))

    loader = data.DataLoader(parts["train"], sampler=sampler, collate_fn=collate, shard=group.shard)
    held_out = {
        name: data.DataLoader(
            parts[name],
            sampler=data.BucketSampler(lengths[name], 64, shuffle=False),
            collate_fn=batcher.batch,
        )
        for name in ("valid", "test")
    }
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    trainer = Trainer(
        model,
        optimizer,
        step,
        loader,
        evaluate=lambda m: {"valid_accuracy": accuracy(*predict(m, held_out["valid"]))},
        monitor="valid_accuracy",
        mode="max",
        schedule=optim.CosineAnnealingLR(optimizer, T_max=config.epochs * len(loader)),
        schedule_every="batch",
        clip_norm=config.clip,
        store=folder,
        group=group,
        workers=config.workers,
        batch_axes=TaggerBatch(1, 0, None, None, 1, 1),
        weight=lambda batch: int((batch.tags != -100).sum()),
    )
    if config.resume:
        cli.resume(trainer)
    history = trainer.fit(config.epochs)
    trainer.load_best()
    if not group.main:
        return {"valid_accuracy": max(history["valid_accuracy"])}
    model.eval()
    predicted, true = predict(model, held_out["test"])
    report = format_report(class_report(predicted, true, list(batcher.tags)))
    folder.write_text("report.txt", report + "\n")
    print(f"\n{report}\n")

    few = batcher.batch([s for s in parts["train"] if len(s[0]) <= 6][:4])
    loss = step(model, few, None)
    loss.name = "loss"
    loss.backward()
    about = {
        "model": "tagger",
        "words": batcher.words.to_dict(),
        "chars": batcher.chars.to_dict(),
        "tags": batcher.tags.to_dict(),
        "config": vars(config),
    }
    paths = [
        cli.save_loss_curve(folder, history, {"train_loss": "training"}),
        cli.save_graph(folder, loss, model),
        cli.save_model(folder, model, about),
        folder.path / "report.txt",
    ]
    score = accuracy(predicted, true)
    print(f"test accuracy {score:.2%} of {len(true):,} words")
    cli.report(folder, paths)
    return {
        "test_accuracy": score,
        "valid_accuracy": max(history["valid_accuracy"]),
        "seconds": time.perf_counter() - began,
    }


def main(argv: list[str] | None = None) -> cli.Figures:
    """The command line."""
    return cli.main(Config, __doc__, PRESETS, train, argv)


if __name__ == "__main__":
    main()
