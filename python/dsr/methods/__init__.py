"""The methods, and the parts they are made of."""

from dsr.methods.base import METHODS, DynamicMethod, Method, SparseMethod, register_method
from dsr.methods.compressed import Compressed
from dsr.methods.dsr import DSR
from dsr.methods.protocol import (
    Grow,
    Prune,
    Pruned,
    Reallocation,
    Redistribute,
    Rules,
    SparseParam,
)
from dsr.methods.rigl import RigL
from dsr.methods.rules import (
    BelowThreshold,
    BySurvivors,
    LargestGradient,
    RandomGrowth,
    SmallestFraction,
    SmallestOverall,
)
from dsr.methods.set import SET
from dsr.methods.snip import SNIP
from dsr.methods.sparse_momentum import LargestMomentum, SparseMomentum
from dsr.methods.static import Dense, Static

__all__ = [
    "DSR",
    "METHODS",
    "SET",
    "SNIP",
    "BelowThreshold",
    "BySurvivors",
    "Compressed",
    "Dense",
    "DynamicMethod",
    "Grow",
    "LargestGradient",
    "LargestMomentum",
    "Method",
    "Prune",
    "Pruned",
    "RandomGrowth",
    "Reallocation",
    "Redistribute",
    "RigL",
    "Rules",
    "SmallestFraction",
    "SmallestOverall",
    "SparseMethod",
    "SparseMomentum",
    "SparseParam",
    "Static",
    "register_method",
]
