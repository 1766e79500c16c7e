"""The methods, and the parts they are made of."""

from dsr.methods.base import METHODS, DynamicMethod, Method, SparseMethod, register_method
from dsr.methods.compressed import Compressed
from dsr.methods.deepr import DeepR
from dsr.methods.dsr import DSR
from dsr.methods.protocol import (
    ComingStep,
    Grow,
    Prune,
    Pruned,
    Reallocation,
    Redistribute,
    Rules,
    Signs,
    SparseParam,
)
from dsr.methods.rigl import RigL
from dsr.methods.rules import (
    BelowThreshold,
    BySize,
    BySurvivors,
    LargestGradient,
    RandomGrowth,
    RandomNormalGrowth,
    RandomSignGrowth,
    SignFlips,
    SmallestFraction,
    SmallestOfEachSign,
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
    "BySize",
    "BySurvivors",
    "ComingStep",
    "Compressed",
    "DeepR",
    "Dense",
    "DynamicMethod",
    "Grow",
    "LargestGradient",
    "LargestMomentum",
    "Method",
    "Prune",
    "Pruned",
    "RandomGrowth",
    "RandomNormalGrowth",
    "RandomSignGrowth",
    "Reallocation",
    "Redistribute",
    "RigL",
    "Rules",
    "SignFlips",
    "Signs",
    "SmallestFraction",
    "SmallestOfEachSign",
    "SmallestOverall",
    "SparseMethod",
    "SparseMomentum",
    "SparseParam",
    "Static",
    "register_method",
]
