"""The product kernels compile for sm_80 and sm_90 within their resources, for tensor cores."""

import pytest
from kernel_resources import ARCHS, compare
from product_variants import KINDS, PRODUCTS, product_rows

MMA = {80: "HMMA.", 90: "HGMMA."}  # of one warp, and of the four of a warp group


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("op", PRODUCTS)
def test_compiles_within_its_resources(op, arch):
    rows, _ = product_rows(op, arch)
    assert compare(rows) == []
    if not op.startswith("masked"):
        return
    for row in rows:
        kind = row["kernel"].split()[1] if " " in row["kernel"] else ""
        if kind in KINDS:  # a product; float32 under IEEE rules has no tensor cores
            assert row["tensor"].startswith(MMA[arch]) == (kind != "fp32"), row
            assert kind != "fp32" or not row["tensor"], row
