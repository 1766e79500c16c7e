"""grow_largest_ in C++ gives the bits of the reference."""

from native_cases import cases, check_cpu, unit_counts

import dsr_kernels


def test_equals_the_reference():
    for case in cases(3000, seed=5):
        per_layer = case.random.random() < 0.5
        counts = unit_counts(case, per_layer)
        check_cpu(
            case,
            lambda c, counts=counts, p=per_layer: dsr_kernels.grow_largest_(
                c.mask, c.previous, c.tensors, counts, per_layer=p
            ),
        )
