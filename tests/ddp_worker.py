"""Run by torchrun: ``ddp_worker.py FOLDER SUITE`` calls the checks of a suite on every rank.

Each rank writes what they returned to ``FOLDER/rank<number>.json``. The first error ends a rank,
since its next collective would meet another one of the other ranks.
"""

import json
import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path

import torch
from ddp_launch import checks, transport
from modes import DEVICE
from torch import distributed

from dsr.divergence import DivergenceWatch


def main(folder, suite):
    torch.set_num_threads(1)
    if DEVICE == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    backend = transport(int(os.environ["WORLD_SIZE"]))
    distributed.init_process_group(backend, timeout=timedelta(seconds=120))
    rank = distributed.get_rank()
    report = {"values": {}, "error": None}
    DivergenceWatch.STEPS_BETWEEN = 1  # short runs compare behind each reallocation
    try:
        for name, check in checks(suite).items():
            report["values"][name] = check(folder)
    except BaseException:
        report["error"] = f"{name}: {traceback.format_exc()}"
    (folder / f"rank{rank}.json").write_text(json.dumps(report))
    distributed.destroy_process_group()
    return report["error"] is not None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
