"""What is asked of a GPU (an H200), each on a named case, judged by the replay of CUDA graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import training_step
from benchmarks.case import KINDS
from benchmarks.entries import Row, digits, verdict
from benchmarks.markdown import NET_NAMES, find, table
from benchmarks.table3.text import judged
from benchmarks.training_step import AT_MOST

SPARSITY, DTYPE = "0.9", "float32"
OPEN = "open"


@dataclass(frozen=True)
class GpuTarget:
    """One figure that an op is to reach on one net.

    Attributes:
        op, net: the case, at sparsity .9 in float32.
        field: "graph_us" is to be at most ``bound``, "of_copy" at least; "times" is how many times
            ours is faster than ``against``, at least.
        bound: of the field.
        against: a provider, or a kind (its fastest).
    """

    op: str
    net: str
    field: str
    bound: float
    against: str = ""

    @property
    def words(self) -> str:
        if self.field == "graph_us":
            return f"at most {self.bound:g} us in graph replay"
        if self.field == "of_copy":
            return f"at least {self.bound:g} of the copy's bandwidth"
        kinds = {"eager": "the fastest eager way", "compiled": "the fastest compiled way"}
        return f"{self.bound:g} times {kinds.get(self.against, self.against)}"


TARGETS = (
    GpuTarget("dsr_step", "resnet50", "graph_us", 100),
    GpuTarget("dsr_step", "wrn-28-2", "graph_us", 25),
    GpuTarget("dsr_step", "resnet50", "times", 20, "eager"),
    GpuTarget("dsr_step", "resnet50", "times", 3, "compiled"),
    GpuTarget("prune_threshold_", "1e8", "of_copy", 0.8),
    GpuTarget("prune_threshold_", "resnet50", "graph_us", 50),
    GpuTarget("prune_threshold_", "resnet50", "times", 10, "masks"),
    GpuTarget("prune_threshold_", "resnet50", "times", 5, "_foreach"),
    GpuTarget("prune_threshold_", "resnet50", "times", 1.5, "compiled"),
    GpuTarget("kth_magnitude", "resnet50", "graph_us", 70),
    GpuTarget("kth_magnitude", "resnet50", "times", 3, "topk, flat"),
    GpuTarget("kth_magnitude", "resnet50", "times", 15, "sort, flat"),
    GpuTarget("kth_magnitude", "resnet50", "times", 100, "kthvalue, flat"),
    GpuTarget("grow_random_", "resnet50", "graph_us", 20),
    GpuTarget("grow_random_", "resnet50", "times", 50, "nonzero + randperm"),
    GpuTarget("grow_random_", "resnet50", "times", 10, "rand + topk"),
)


def targets_text(
    ops: Mapping[str, Sequence[Row]], table3: Sequence[Row] = (), steps: Sequence[Row] = ()
) -> str:
    """Every target, what was reached, and whether that is enough; "open" where unmeasured."""
    lines = [
        [f"`{target.op}`", NET_NAMES.get(target.net, f"{target.net} weights"), target.words,
         *outcome(target, ops.get(target.op, ()))]
        for target in TARGETS
    ]  # fmt: skip
    lines += [
        [f"Table 3, {name}", net, asked, got, OPEN if met is None else _verdict(met)]
        for net, name, asked, got, met in judged(table3)
    ]
    lines += [
        ["training step, static masks", NET_NAMES[net], f"at most {AT_MOST['cuda']:.3g} of dense",
         got, f"**{met}**" if met in ("met", "missed") else met]
        for net, got, met in training_step.judged(steps, "cuda")
    ]  # fmt: skip
    return table(["of", "on", "asked", "reached", ""], lines, left=3)


def outcome(target: GpuTarget, rows: Sequence[Row]) -> tuple[str, str]:
    """What was reached, and "met", "missed" or "open"."""
    case = [
        row
        for row in rows
        if (row["net"], row["sparsity"], row.get("dtype", DTYPE)) == (target.net, SPARSITY, DTYPE)
    ]
    ours = best(case, "ours", replayed=True)
    if ours is None:
        return "", OPEN
    own_us = float(ours["graph_us"])
    if target.field == "graph_us":
        return f"{digits(own_us)} us", _verdict(own_us <= target.bound)
    if target.field == "of_copy":
        copy = best(case, "copy", replayed=True)
        if not ours["of_copy"] or copy is None:
            return "", OPEN
        return f"{float(ours['of_copy']):.2g}", _verdict(float(ours["of_copy"]) >= target.bound)
    rival = best(case, target.against)
    if rival is None or not (rival.get("graph_us") or rival.get("no_graph")):
        return "", OPEN  # its calls alone would flatter ours, if a graph could hold it
    factor = device_us(rival) / own_us
    how = "" if rival.get("graph_us") else ", which no graph can hold"
    name = f" of {rival['provider']}" if target.against in KINDS else ""
    return f"{digits(factor)}{name}{how}", _verdict(factor >= target.bound)


def device_us(row: Row) -> float:
    """The replay's time, or a call's where there is no replay."""
    return float(row.get("graph_us") or row["median_us"])


def best(case: Sequence[Row], name: str, *, replayed: bool = False) -> Row | None:
    """The provider of that name, or the fastest of that kind."""
    own = find(case, name)
    rows = [own] if own else [row for row in case if row["kind"] == name]
    timed = [row for row in rows if row.get("graph_us" if replayed else "median_us")]
    return min(timed, key=device_us, default=None)


def _verdict(met: bool) -> str:
    return f"**{verdict(met)}**"
