"""Training runs on real data, alone and side by side; what the command line runs."""

from __future__ import annotations

from dsr.experiments.compare import Comparison
from dsr.experiments.config import RunConfig
from dsr.experiments.summary import Summary
from dsr.experiments.train import Training, run

__all__ = ["Comparison", "RunConfig", "Summary", "Training", "run"]
