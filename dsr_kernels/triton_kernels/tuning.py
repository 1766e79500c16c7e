"""Block sizes and warps of the Triton kernels: a table, so that nothing is tuned at import.

Elements a program handles are a trade: small blocks fill a GPU on small layers, large ones save
the interpreter, which takes about a millisecond a program whatever its size.
"""

from __future__ import annotations

from dataclasses import dataclass

from dsr_kernels.triton_kernels import interpreted


@dataclass(frozen=True)
class Tuning:
    """``block``: elements, or units of a chunk, a program; ``warps``: warps a program.

    ``tile``: elements in registers at a time, where a program goes through its block in tiles.
    ``programs``: at most so many, which take several blocks each, where an op has such a limit.
    ``ranks``: units that ``grow_random_`` draws at a time.
    """

    block: int
    warps: int
    tile: int = 0
    programs: int = 0
    ranks: int = 0


# Not yet measured on a GPU.
_COMPILED = {
    "apply_mask_": Tuning(block=4096, warps=4, tile=1024),
    "reset_state_": Tuning(block=4096, warps=4, tile=1024),
    "add_noise_": Tuning(block=4096, warps=4, tile=512),
    "prune_threshold_": Tuning(block=2048, warps=4),
    "kth_magnitude": Tuning(block=2048, warps=4),
    "prune_smallest_": Tuning(block=2048, warps=4),
    "grow_largest_": Tuning(block=2048, warps=4),
    "layer_mean": Tuning(block=8192, warps=4, tile=2048),
    "prune_sign_flips_": Tuning(block=2048, warps=4),
    "grow_random_": Tuning(block=16384, warps=4, programs=896, ranks=128),
}
_INTERPRETED = {
    "apply_mask_": Tuning(block=4096, warps=1, tile=4096),
    "reset_state_": Tuning(block=4096, warps=1, tile=2048),
    "add_noise_": Tuning(block=512, warps=1, tile=256),
    "prune_threshold_": Tuning(block=128, warps=1),
    "kth_magnitude": Tuning(block=128, warps=1),
    "prune_smallest_": Tuning(block=128, warps=1),
    "grow_largest_": Tuning(block=128, warps=1),
    "layer_mean": Tuning(block=128, warps=1, tile=128),
    "prune_sign_flips_": Tuning(block=128, warps=1),
    "grow_random_": Tuning(block=512, warps=1, programs=3, ranks=128),
}


def tuning(op: str) -> Tuning:
    """The launch parameters of one op's kernel."""
    return (_INTERPRETED if interpreted() else _COMPILED)[op]
