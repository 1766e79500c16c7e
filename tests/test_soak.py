"""A 10,000-step run: the budget exact at every step, memory and step time flat."""

import gc
import os
import statistics
import time
from pathlib import Path

import torch
from nets import OPTIMIZERS
from torch import nn

import dsr

STEPS = 10_000


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_steps():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 8))
    method = dsr.DSR(0.9, period=20, stop=None, prune_fraction=0.05)
    optimizer = OPTIMIZERS["nesterov"](model.parameters())
    sparse = dsr.sparsify(model, method, optimizer=optimizer)
    x, y = torch.randn(32, 16), torch.randint(0, 8, (32,))
    words = sparse._storage.mask
    times, memory = [], []
    for step in range(STEPS):
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
        assert int(words.counts().sum()) == sparse.budget == 155
        if step % 1000 == 999:
            gc.collect()
            memory.append(_resident_bytes())
    torch.set_num_threads(threads)
    assert sparse.stats().reallocations == STEPS // 20
    # Medians of thousands: other processes on the machine move them, a leak moves them more.
    first, last = statistics.median(times[1000:3000]), statistics.median(times[-2000:])
    assert last < 1.5 * first, f"step time rose from {first * 1e6:.0f} to {last * 1e6:.0f} us"
    assert memory[-1] - memory[1] < 4 * 2**20, f"resident memory: {memory}"
