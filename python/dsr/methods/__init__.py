"""The methods, and the parts they are made of."""

from dsr.methods.base import METHODS, DynamicMethod, Method, SparseMethod, register_method
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
from dsr.methods.rules import BelowThreshold, BySurvivors, RandomGrowth, SmallestFraction
from dsr.methods.set import SET
from dsr.methods.static import Dense, Static

__all__ = [
    "DSR",
    "METHODS",
    "SET",
    "BelowThreshold",
    "BySurvivors",
    "Dense",
    "DynamicMethod",
    "Grow",
    "Method",
    "Prune",
    "Pruned",
    "RandomGrowth",
    "Reallocation",
    "Redistribute",
    "Rules",
    "SmallestFraction",
    "SparseMethod",
    "SparseParam",
    "Static",
    "register_method",
]
