"""Which kernel of a reallocation op was faster on which GPU, measured.

Written by ``python -m benchmarks.choose``, not by hand. Where a GPU or an op is missing the CUDA
C++ kernel comes first.
"""

from __future__ import annotations

# GPU -> op -> (the faster of "cuda" and "triton", the other's time over its time).
FASTER: dict[str, dict[str, tuple[str, float]]] = {}
