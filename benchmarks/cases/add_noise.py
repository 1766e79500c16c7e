"""add_noise_: normal noise on the gradients of active weights, as DeepR adds it in every step."""

from __future__ import annotations

from collections.abc import Callable

import torch

import dsr_kernels
from benchmarks.case import Case, Provider, Target, require
from benchmarks.inputs import Problem
from benchmarks.ours import ours
from benchmarks.shapes import Net

TARGETS: tuple[Target, ...] = ()
SCALE = 0.5
TOLERANCE = 0.05  # of the mean and of the variance, in units of the noise
MIN_SAMPLE = 20_000


def case(net: Net, sparsity: float, device: torch.device) -> Case:
    """Beside ``randn`` times the mask, which is the authors' way, and ``randn`` where active."""
    p = Problem(net, sparsity, device)
    scale = torch.full((len(net.sizes),), SCALE, device=device)
    step = torch.ones(1, dtype=torch.int64, device=device)
    gradients, floats, flags = (
        p.layers(p.momentum),
        p.layers(p.flags.to(net.dtype)),
        p.layers(p.flags),
    )
    places, noise = p.flags.nonzero().view(-1), torch.empty_like(p.momentum)
    restore = p.restoring("momentum")

    def check(result: object) -> None:
        _check_noise(p)

    def eager(name: str, run: Callable[[], object], kind: str = "eager") -> Provider:
        return Provider(name, kind, run, restore, check)

    def of_all_weights() -> None:
        for gradient, mask in zip(gradients, floats, strict=True):
            gradient.add_(torch.randn_like(gradient).mul_(SCALE).mul_(mask))

    def of_active_weights() -> None:
        for gradient, flag in zip(gradients, flags, strict=True):
            noise_here = torch.randn(int(flag.sum()), device=device, dtype=net.dtype)
            gradient[flag] += SCALE * noise_here

    def preallocated() -> None:
        noise.normal_(std=SCALE)
        torch._foreach_addcmul_(gradients, p.layers(noise), floats)

    def at_places() -> None:
        p.momentum.index_add_(
            0, places, torch.randn(len(places), device=device, dtype=net.dtype), alpha=SCALE
        )

    providers = [
        *ours(
            device,
            ["add_noise_"],
            lambda: dsr_kernels.add_noise_(gradients, p.mask, scale, seed=0, counter=step),
            restore,
            check,
        ),
        eager("randn * mask", of_all_weights, "authors"),
        eager("randn where active", of_active_weights),
        eager("normal_, _foreach_addcmul_", preallocated),
        eager("index_add_, places known", at_places),
    ]
    return p.case("add_noise_", 2 * net.bytes + net.weights // 8, providers)


def _check_noise(p: Problem) -> None:
    added = (p.momentum.float() - p.start("momentum").float()) / SCALE
    require(not added[~p.flags].any(), "an inactive weight got noise")
    sample = added[p.flags]
    require(sample.count_nonzero() > 0.99 * len(sample), "an active weight got no noise")
    if len(sample) >= MIN_SAMPLE:
        error = max(abs(float(sample.mean())), abs(float(sample.var()) - 1))
        require(error < TOLERANCE, f"mean or variance of the noise is off by {error}")
