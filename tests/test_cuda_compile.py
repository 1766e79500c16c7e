"""Every CUDA C++ kernel compiles without warnings and takes no more than it did. Needs no GPU."""

import pytest
from kernel_resources import ARCHS, CUDA_FILES, NVCC, compare, cuda_rows


@pytest.mark.skipif(NVCC is None, reason="no nvcc: the CUDA kernels were not compiled")
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("stem", CUDA_FILES)
def test_compiles_within_its_resources(stem, arch):
    rows, texts = cuda_rows(stem, arch)
    assert compare(rows) == []
    assert [row for row in rows if row["fma"]] == []
    assert not [text for text in texts if "fma." in text]
