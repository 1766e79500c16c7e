"""prune_smallest_ in C++ gives the bits of the reference."""

from native_cases import cases, check_cpu, unit_counts

import dsr_kernels


def test_equals_the_reference():
    for case in cases(3000, seed=4):
        per_layer, zero, keep_one = (case.random.random() < 0.5 for _ in range(3))
        k = unit_counts(case, per_layer)
        check_cpu(
            case,
            lambda c, k=k, p=per_layer, z=zero, o=keep_one: dsr_kernels.prune_smallest_(
                c.tensors, c.mask, k, per_layer=p, zero=z, keep_one=o
            ),
        )
