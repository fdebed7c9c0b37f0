"""Translate French into English, and show where the decoder looks.

    python -m examples.seq2seq                  # with attention, and without it for comparison
    python -m examples.seq2seq --no-baseline    # with attention only
    python -m examples.seq2seq --resume         # go on where a run was stopped

10,922 short sentences of Tatoeba, the selection of PyTorch's translation tutorial, split by English
sentence. The run's folder receives the loss curve, the drawn graph, an alignment as a heat map,
translations of the test sentences and the trained model.
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
from minigrad import data, io, optim, parallel, viz
from minigrad.data import datasets
from minigrad.data.datasets import SentencePair
from minigrad.errors import missing_extra
from minigrad.training import Mean, Trainer
from models.seq2seq import Seq2Seq, Translation


@dataclass(frozen=True)
class Config:
    """What can be chosen."""

    epochs: int = option(20, "passes over the sentences")
    batch: int = option(64, "sentences per batch, of similar length")
    size: int = option(128, "length of a word's vector")
    hidden: int = option(128, "units of the encoder (each way) and of the decoder")
    dropout: float = option(0.3, "dropout probability")
    lr: float = option(2e-3, "Adam's learning rate; it falls to zero along a cosine")
    clip: float = option(1.0, "largest gradient norm")
    smoothing: float = option(0.1, "label smoothing")
    beam: int = option(5, "beginnings that the search keeps")
    min_freq: int = option(2, "words seen less often become unknown")
    baseline: bool = option(True, "train the same model without attention too")
    limit: int | None = option(None, "use only so many sentences of each part")
    seed: int = option(0, "of everything random")
    device: str = option(cli.DEVICE, "cpu, cuda or cuda:N")
    workers: int = option(1, "threads that divide each batch")
    processes: int = option(1, "processes that divide each batch, forked from this one")
    parallel: str | None = option(
        None, "join the processes that mpiexec started, which do the same", choices=("mpi", "nccl")
    )
    out: str = option("runs/seq2seq", "folder for the results")
    resume: bool = option(False, "go on with the run in the folder, with its options")


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {
        "epochs": 2, "limit": 64, "size": 16, "hidden": 16, "batch": 16, "beam": 2, "min_freq": 1,
    },
}  # fmt: skip
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # source (S, B), lengths (B,), target (T, B)


class Corpus:
    """The sentences as ids."""

    def __init__(self, config: Config) -> None:
        self.parts = {
            name: datasets.tatoeba_fra_eng(name)[: config.limit]
            for name in ("train", "valid", "test")
        }
        marks = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>"}
        train, least = self.parts["train"], config.min_freq
        build = data.Vocabulary.build
        self.source = build([p.source for p in train], min_freq=least, **marks)
        self.target = build([p.target for p in train], min_freq=least, **marks)

    def collate(self, pairs: Sequence[SentencePair]) -> Batch:
        """A batch, padded; the source ends with its mark, the target has both."""
        source, lengths = data.pad([self.source.encode(p.source, eos=True) for p in pairs])
        target, _ = data.pad([self.target.encode(p.target, bos=True, eos=True) for p in pairs])
        return source, lengths, target

    def loader(
        self, part: str, batch: int, *, shuffle: bool, seed: int = 0, shard: Any = (0, 1)
    ) -> data.DataLoader:
        pairs = self.parts[part]
        lengths = [(len(p.source), len(p.target)) for p in pairs]
        sampler = data.BucketSampler(lengths, batch, shuffle=shuffle, seed=seed)
        return data.DataLoader(pairs, sampler=sampler, collate_fn=self.collate, shard=shard)


def loss_of(model: Seq2Seq, batch: Batch, smoothing: float = 0.0) -> mg.Tensor:
    """Mean negative log likelihood of the target words, in nats."""
    source, lengths, target = batch
    logits, _ = model(source, lengths, target[:-1])
    return mg.cross_entropy(logits, target[1:], ignore_index=0, label_smoothing=smoothing)


def validate(model: Seq2Seq, loader: data.DataLoader) -> dict[str, float]:
    """Loss per word of held-out sentences."""
    mean = Mean()
    for batch in loader:
        mean.add(loss_of(model, batch).item(), weight=int((batch[2][1:] != 0).sum()))
    return {"valid_loss": mean.value, "perplexity": float(np.exp(mean.value))}


def bleu(model: Seq2Seq, corpus: Corpus, beam: int) -> tuple[float, list[str]]:
    """BLEU of the test part (sacrebleu, already tokenised), and the translations.

    A French sentence with several English translations counts once, with all of them as references.
    """
    try:
        import sacrebleu
    except ImportError as error:
        raise missing_extra("sacrebleu", extra="data") from error
    references: dict[str, list[str]] = {}
    for pair in corpus.parts["test"]:
        references.setdefault(" ".join(pair.source), []).append(" ".join(pair.target))
    sources = [text.split() for text in references]
    found = [" ".join(words(corpus, t)) for t in translate(model, corpus, sources, beam)]
    most = max(map(len, references.values()))
    streams = [[r[i] if i < len(r) else None for r in references.values()] for i in range(most)]
    score = sacrebleu.corpus_bleu(found, streams, tokenize="none", force=True).score
    return score, found


def translate(
    model: Seq2Seq, corpus: Corpus, sources: Sequence[Sequence[str]], beam: int
) -> list[Translation]:
    """Translations of sentences of words, 64 at a time."""
    results: list[Translation] = []
    for start in range(0, len(sources), 64):
        part = sources[start : start + 64]
        ids, lengths = data.pad([corpus.source.encode(s, eos=True) for s in part])
        results += model.translate(ids, lengths, beam=beam)
    return results


def words(corpus: Corpus, translation: Translation) -> list[str]:
    """The translation's words."""
    return [corpus.target.tokens[i] for i in translation.ids]


def fit(
    config: Config, corpus: Corpus, folder: io.Folder, group: parallel.Group, *, attention: bool
) -> Trainer:
    """Train one model; it ends with the parameters of its best epoch."""
    mg.manual_seed(config.seed)
    model = Seq2Seq(
        len(corpus.source),
        len(corpus.target),
        bos=corpus.target.bos_id,
        eos=corpus.target.eos_id,
        size=config.size,
        hidden_size=config.hidden,
        dropout=config.dropout,
        attention=attention,
    )
    loader = corpus.loader("train", config.batch, shuffle=True, seed=config.seed, shard=group.shard)
    valid = corpus.loader("valid", 64, shuffle=False)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    trainer = Trainer(
        model,
        optimizer,
        lambda model, batch, _: loss_of(model, batch, config.smoothing),
        loader,
        evaluate=lambda model: validate(model, valid),
        schedule=optim.CosineAnnealingLR(optimizer, T_max=config.epochs * len(loader)),
        schedule_every="batch",
        clip_norm=config.clip,
        store=folder,
        group=group,
        workers=config.workers,
        batch_axes=(1, 0, 1),
        weight=lambda batch: int((batch[2][1:] != 0).sum()),
    )
    print(f"\n{'with' if attention else 'without'} attention: {model}")
    if config.resume:
        cli.resume(trainer)
    trainer.fit(config.epochs)
    trainer.load_best()
    model.eval()
    return trainer


def save_alignment(model: Seq2Seq, corpus: Corpus, folder: io.Folder) -> None:
    """alignment.svg: where the decoder looks, for a test sentence that is translated right."""
    longest = sorted(corpus.parts["test"], key=lambda p: (-len(p.source), p.source))[:200]
    results = translate(model, corpus, [p.source for p in longest], beam=1)
    right = [i for i, p in enumerate(longest) if words(corpus, results[i]) == p.target]
    best = max(right or range(len(longest)), key=lambda i: len(results[i].ids))
    source = [*longest[best].source, "</s>"]
    svg = viz.attention_svg(results[best].weights, source, words(corpus, results[best]))
    folder.write_text("alignment.svg", svg)


def train(config: Config, group: parallel.Group) -> cli.Figures:
    """Train and write the results; returns the final figures."""
    began = time.perf_counter()
    folder = cli.start(config, group)
    corpus = Corpus(config)
    waste = corpus.loader("train", config.batch, shuffle=True, seed=config.seed).sampler.waste
    counts = ", ".join(f"{len(pairs):,} {name}" for name, pairs in corpus.parts.items())
    print(f"Tatoeba French → English: {counts} pairs; {waste:.1%} of the batches is padding")

    trainer = fit(config, corpus, folder, group, attention=True)
    figures: dict[str, Any] = {"valid_loss": min(trainer.history["valid_loss"])}
    if group.main:
        figures |= report(config, corpus, folder, trainer)
    if config.baseline:
        plain = fit(config, corpus, io.Folder(folder.path / "baseline"), group, attention=False)
        if group.main:
            score, _ = bleu(plain.model, corpus, beam=config.beam)
            figures["bleu_without_attention"] = score
            print(f"\nBLEU without attention, beam {config.beam}: {score:.1f}")
    if group.main:
        greedy, score = figures["bleu_greedy"], figures["bleu"]
        print(f"BLEU with attention: greedy {greedy:.1f}, beam {config.beam} {score:.1f}")
        print(f"results in {folder.path}")
    figures["seconds"] = time.perf_counter() - began
    return figures


def report(config: Config, corpus: Corpus, folder: io.Folder, trainer: Trainer) -> cli.Figures:
    """Translate the test part with the trained model, and write the results."""
    model = trainer.model
    figures: dict[str, Any] = {}
    figures["bleu_greedy"], _ = bleu(model, corpus, beam=1)
    figures["bleu"], found = bleu(model, corpus, beam=config.beam)
    folder.write_text("translations.txt", "\n".join(found) + "\n")
    for pair in corpus.parts["test"][:: max(1, len(corpus.parts["test"]) // 5)][:5]:
        (best,) = translate(model, corpus, [pair.source], config.beam)
        print(f"  {' '.join(pair.source)}\n    → {' '.join(words(corpus, best))}")

    loss = loss_of(model, corpus.collate(corpus.parts["train"][:4]))
    loss.name = "loss"
    loss.backward()
    about = {
        "model": "seq2seq",
        "source": corpus.source.to_dict(),
        "target": corpus.target.to_dict(),
        "config": vars(config),
    }
    names = {"train_loss": "training (smoothed labels)", "valid_loss": "validation"}
    cli.save_loss_curve(folder, trainer.history, names)
    cli.save_graph(folder, loss, model)
    cli.save_model(folder, model, about)
    save_alignment(model, corpus, folder)
    return figures


def main(argv: list[str] | None = None) -> cli.Figures:
    """The command line."""
    return cli.main(Config, __doc__, PRESETS, train, argv)


if __name__ == "__main__":
    main()
