"""The last program of a group finishes what the group did, instead of a second launch."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def is_last(counter_ptr, programs):
    """Whether this is the last of ``programs`` programs to come here; sets the counter back to 0.

    What the others stored or added before is visible to loads with ``cache_modifier=".cg"``.
    """
    tl.debug_barrier()
    last = tl.atomic_add(counter_ptr, 1, sem="acq_rel", scope="gpu") == programs - 1
    if last:
        tl.store(counter_ptr, 0)
    return last
