"""The commands of ``dsr``: flags in, files and tables out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from typer.main import get_command

import dsr_kernels
from dsr.cli import flags, tables
from dsr.cli.errors import BAD_INPUT, FAILED, CommandError, bad_input, failures, warnings_held_back
from dsr.experiments import Comparison, Training, ranks
from dsr.experiments.folder import Row, RunFolder
from dsr.experiments.options import check_choice, parse_list, parse_seeds
from dsr.methods import METHODS

# typer carries click inside in recent versions: its classes are reached through typer's own.
USAGE_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def command() -> Any:
    """The command that :func:`dsr.cli.main` runs."""
    group: Any = get_command(app)
    for each in (group, *group.commands.values()):
        each.get_help_option(typer.Context(each)).metavar = ""  # takes no value, as any switch
    return group


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, flags.switch("--version", "Print the version and exit.")] = False,
) -> None:
    """Train neural networks whose weights are sparse from the first step to the last."""
    if version:
        typer.echo(f"dsr-kernels {dsr_kernels.__version__}, torch {torch.__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def train(
    out: flags.RunOut,
    data: flags.Data = None,
    model: flags.Model = None,
    method: flags.Method = None,
    sparsity: flags.Sparsity = None,
    distribution: flags.Distribution = None,
    epochs: flags.Epochs = None,
    batch_size: flags.BatchSize = None,
    lr: flags.LearningRate = None,
    momentum: flags.Momentum = None,
    weight_decay: flags.WeightDecay = None,
    l1: flags.L1 = None,
    init: flags.Init = None,
    masks_from: flags.MasksFrom = None,
    structure: flags.Structure = None,
    weights: flags.Weights = None,
    dense_from: flags.DenseFrom = None,
    seed: flags.Seed = None,
    device: flags.Device = None,
    option: flags.Option = None,
    resume: flags.Resume = False,
    checkpoint_every: flags.CheckpointEvery = None,
    tensorboard: flags.TensorBoard = False,
) -> None:
    """Train one sparse network and write its metrics, checkpoints and a picture to --out.

    `torchrun --nproc-per-node 2 -m dsr train ...` trains it on two processes, each on its share of
    every batch; one that torchrun restarts goes on from the latest checkpoint.
    """
    given = flags.settings(locals()) | {"world_size": ranks.launched_size()}
    names = {"world_size": "torchrun --nproc-per-node"}
    with failures(), ranks.leaving():
        with bad_input(names), warnings_held_back():
            config = flags.run_config(RunFolder(out) if resume else None, given, option or [])
            ranks.join(config.device)
            resume = resume or (ranks.restarted() and RunFolder(out).exists)
            training = Training(
                config,
                out,
                resume=resume,
                checkpoint_every=checkpoint_every,
                tensorboard=tensorboard,
            )
            training.start()
        _train(training, out)


@app.command()
def compare(
    out: flags.Out,
    methods: flags.Methods = "static,set,dsr",
    sparsity: flags.Sparsities = "0.9",
    distribution: flags.Distributions = "uniform",
    seeds: flags.Seeds = "0-4",
    data: flags.Data = None,
    model: flags.Model = None,
    epochs: flags.Epochs = None,
    batch_size: flags.BatchSize = None,
    lr: flags.LearningRate = None,
    momentum: flags.Momentum = None,
    weight_decay: flags.WeightDecay = None,
    l1: flags.L1 = None,
    init: flags.Init = None,
    device: flags.Device = None,
    option: flags.MethodOption = None,
    jobs: flags.Jobs = None,
    checkpoint_every: flags.CheckpointEvery = None,
) -> None:
    """Run methods x sparsities x distributions x seeds; finished runs are not run again."""
    settings = flags.settings(locals())
    if ranks.launched_size() > 1:
        raise CommandError(
            "compare starts processes of its own; run it without torchrun", BAD_INPUT
        )
    with bad_input({"method": "--methods", "seed": "--seeds"}):
        names = parse_list("methods", methods)
        settings |= {
            "sparsity": parse_list("sparsity", sparsity, float),
            "distribution": parse_list("distribution", distribution),
            "seeds": parse_seeds(seeds),
            "options": flags.options_by_method(names, option or []),
        }
        comparison = Comparison(
            out, methods=names, jobs=jobs, checkpoint_every=checkpoint_every, **settings
        )
        comparison.start()
    _compare(comparison, out)


@app.command(name="methods")
def list_methods(
    name: Annotated[str | None, typer.Argument(help="Show this one in full.")] = None,
) -> None:
    """List the methods, or the hyper-parameters of one."""
    console = Console()
    if name is None:
        console.print(tables.methods_table())
        return
    with bad_input({"name": "NAME"}):
        check_choice("name", name, METHODS)
    console.print(tables.method_text(name), markup=False, highlight=False, soft_wrap=True)
    console.print(tables.hyper_parameter_table(name))


def _train(training: Training, out: Path) -> None:
    if ranks.rank() > 0:
        training.run()
        return
    console, config = Console(), training.config
    if training.summary is not None:
        console.print(f"finished already: {out}", highlight=False, markup=False)
    with failures(), tables.progress_bar("epochs") as bar:
        task = bar.add_task(config.method, total=config.epochs, completed=training.epoch, text="")

        def show(row: Row) -> None:
            text = f"loss {row['train_loss']:.3f}, test accuracy {row['test_accuracy']:.1%}"
            bar.update(task, completed=row["epoch"], text=text)

        summary = training.run(show)
    console.print(tables.summary_table(f"{config.method} on {config.data}", summary))
    console.print(tables.layer_table(training.layer_rows))
    console.print(f"files: {out}", highlight=False, markup=False)


def _compare(comparison: Comparison, out: Path) -> None:
    total, done = len(comparison.runs), len(comparison.finished)
    with failures(), tables.progress_bar("runs") as bar:
        task = bar.add_task("compare", total=total, completed=done, text="")
        errors = comparison.run(lambda name: bar.update(task, advance=1, text=name))
    console, runs = Console(), comparison.table()
    if len(runs):
        console.print(tables.comparison_tables(runs))
        console.print(f"files: {out}", highlight=False, markup=False)
    if errors:
        name, reason = next(iter(errors.items()))
        raise CommandError(f"{len(errors)} of {total} runs failed; {name}: {reason}", FAILED)
