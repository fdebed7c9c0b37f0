"""What the examples share: options from a dataclass, the run's folder, its pictures."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import typing
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import io, parallel, viz
from minigrad.training import History, Trainer

Presets = Mapping[str, Mapping[str, Any]]
Figures = dict[str, Any]


DEVICE = os.environ.get("MINIGRAD_DEVICE", "").strip() or "cpu"
"""Where an example runs unless it is told."""


def option(default: Any, help: str, choices: Any = None) -> Any:
    """A field of a configuration, with the text that --help shows."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


def main(
    config: type[Any],
    description: str | None,
    presets: Presets,
    train: Callable[[Any, parallel.Group], Figures],
    argv: list[str] | None = None,
) -> Figures:
    """Read the options, start or join the other processes, train, and end politely when stopped.

    All processes train, but only the first speaks, and writes files.
    """
    options = parse(config, description or "", presets, argv)
    if options.parallel and options.processes > 1:
        raise SystemExit("--processes starts some; with --parallel, mpiexec -n does")

    def work(group: parallel.Group) -> Figures:
        with (
            mg.use_device(getattr(group, "device", options.device)),
            contextlib.redirect_stdout(sys.stdout if group.main else StringIO()),
        ):
            return train(options, group)

    try:
        if not options.parallel:
            return parallel.run(work, options.processes)
        with parallel.start(options.parallel) as group:
            return work(group)
    except KeyboardInterrupt:
        raise SystemExit(f"stopped; --resume --out {options.out} goes on") from None


def parse(
    config: type[Any], description: str, presets: Presets, argv: list[str] | None = None
) -> Any:
    """The configuration: of the run to resume, else of `--preset`; then each `--option` given."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--preset", choices=sorted(presets), help="values for several options at once"
    )
    types = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        kind = types[field.name]
        flag = "--" + field.name.replace("_", "-")
        text = f"{field.metadata['help']} (default: {field.default})"
        if kind is bool:
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=None, help=text
            )
            continue
        inner = [t for t in typing.get_args(kind) if t is not type(None)] or [kind]
        parser.add_argument(flag, type=inner[0], choices=field.metadata["choices"], help=text)
    given = {k: v for k, v in vars(parser.parse_args(argv)).items() if v is not None}
    chosen = dict(presets.get(given.pop("preset", ""), {})) | given
    options = config(**chosen)
    before = Path(options.out) / "config.json"
    if options.resume and before.exists():
        saved = json.loads(before.read_text())
        options = config(**{k: v for k, v in saved.items() if k in types} | chosen)
    return options


def start(config: Any, group: parallel.Group) -> io.Folder:
    """Seed everything, and open the run's folder with its configuration."""
    mg.manual_seed(config.seed)
    folder = io.Folder(config.out)
    if group.main:
        folder.write_text("config.json", json.dumps(dataclasses.asdict(config), indent=2) + "\n")
        if group.size > 1:
            print(f"{group.size} processes, {mg.get_num_threads()} threads each")
    return folder


def resume(trainer: Trainer) -> None:
    """Go on from the last checkpoint in the trainer's folder, and say so."""
    if trainer.resume():
        print(f"going on after {trainer.epoch} epochs and {trainer.batch} batches")
    else:
        print(f"nothing to resume in {trainer.store}: from the beginning")


def save_model(folder: io.Folder, model: mg.nn.Module, about: Mapping[str, Any]) -> Path:
    """The trained parameters as model.safetensors, with what is needed to build the model again."""
    path = folder.path / "model.safetensors"
    io.save_safetensors(path, model.state_dict(), {"minigrad": json.dumps(about)})
    return path


def save_loss_curve(folder: io.Folder, history: History, names: Mapping[str, str]) -> Path:
    """loss.svg: the columns `names` of the history (column → label) by epoch."""
    series = {label: history[column] for column, label in names.items()}
    return folder.write_text("loss.svg", viz.line_chart_svg(series, xlabel="epoch", ylabel="loss"))


def save_graph(folder: io.Folder, loss: mg.Tensor, model: mg.nn.Module) -> Path:
    """graph.svg, or graph.dot where no graphviz is installed."""
    graph = viz.draw_graph(loss, model=model)
    try:
        return Path(graph.render(folder.path / "graph.svg"))
    except mg.errors.MissingExtraError as error:
        print(f"(no picture: {error})")
        return folder.write_text("graph.dot", graph.source)


def report(folder: io.Folder, paths: list[Path]) -> None:
    """Say where the results are."""
    print(f"results in {folder.path}: {', '.join(path.name for path in paths)}")
