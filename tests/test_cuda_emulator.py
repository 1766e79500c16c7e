"""The emulator that the CUDA kernels are tested in shows the mistakes that kernels make."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import cuda_emulation
import pytest
from cuda_emulation import build_planted

THREADS, BLOCKS = 96, 5
ORDERS = cuda_emulation.ORDERS


@pytest.fixture(scope="module")
def planted():
    path = build_planted()
    return lambda *case: run(path, *case)


def run(path, name, right, order):
    """What the kernel made of the numbers 0, 3, 6 ..., its counters, and its error."""
    library, set_order = cuda_emulation.load_kernels(path)
    library.run_planted.restype = ctypes.c_char_p
    data = (ctypes.c_int * (BLOCKS * THREADS + 4))()
    start = -(ctypes.addressof(data) // 4) % 4  # where 16 bytes may be loaded at once
    for i in range(BLOCKS * THREADS):
        data[start + i] = 3 * i
    counters = (ctypes.c_int * 2)()
    set_order(order)
    at = ctypes.byref(data, 4 * start)
    error = library.run_planted(name.encode(), int(right), at, counters).decode()
    return data[start : start + BLOCKS * THREADS], list(counters), error


def by_block(function):
    """The numbers after ``function`` changed those of each block."""
    blocks = [[3 * (b * THREADS + t) for t in range(THREADS)] for b in range(BLOCKS)]
    return [value for block in blocks for value in function(block)]


EXPECTED = {
    "reverse": by_block(lambda v: v[::-1]),
    "rotate_in_warps": by_block(lambda v: [v[t // 32 * 32 + (t + 1) % 32] for t in range(THREADS)]),
    "count_odd": by_block(lambda v: [sum(x % 2 for x in v)] * THREADS),
    "branch_around_a_barrier": by_block(lambda v: [v[0]] * THREADS),
    "leave_before_a_shuffle": by_block(lambda v: [v[t // 32 * 32 + 3] for t in range(THREADS)]),
    "vote_beside_a_shuffle": by_block(lambda v: [v[t ^ 1] for t in range(THREADS)]),
    "shuffle_with_half_a_warp": by_block(lambda v: [v[t // 32 * 32] for t in range(THREADS)]),
    "count_without_an_atomic": by_block(lambda v: [THREADS] * THREADS),
    "load_four_at_once": by_block(lambda v: [v[t // 4 * 4] for t in range(THREADS)]),
    "beyond_an_array": by_block(lambda v: v),
    "beyond_the_data": by_block(lambda v: v),
    "warp_intrinsics": by_block(lambda v: [(1 << 15) - 1] * THREADS),
    "wait_for_the_block_before": [b for b in range(BLOCKS) for _ in range(THREADS)],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_right_kernel_is_right_in_every_order(name, order, planted):
    assert planted(name, True, order) == (EXPECTED[name], [0, 0], "")


@pytest.mark.parametrize("order", ORDERS)
def test_the_last_block_adds_up(order, planted):
    values, counters, error = planted("add_in_the_last_block", True, order)
    assert (values[1], counters, error) == (BLOCKS * THREADS // 2, [0, 0], "")


def test_the_last_number_is_taken_for_the_last_block(planted):
    in_turn, backwards = (
        planted("add_in_the_last_block", False, order)[0][1] for order in ("forward", "reversed")
    )
    assert in_turn == BLOCKS * THREADS // 2 != backwards


@pytest.mark.parametrize(
    ("name", "orders"),
    [
        ("reverse", ORDERS),  # a barrier of the block is missing
        ("rotate_in_warps", ORDERS),  # a barrier of the warp is missing
        ("count_odd", ORDERS),  # shared memory is not initialised
        ("count_without_an_atomic", ("shuffled",)),
    ],
)
def test_a_bug_changes_the_result(name, orders, planted):
    for order in orders:
        assert planted(name, False, order)[0] != EXPECTED[name], order


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("branch_around_a_barrier", "40 wait at __syncthreads, 56 have ended"),
        ("leave_before_a_shuffle", "wait at a shuffle, 3 have ended"),
        ("vote_beside_a_shuffle", "the lanes of a warp meet at different intrinsics"),
        ("shuffle_with_half_a_warp", "not called for all lanes"),
    ],
)
def test_a_barrier_that_not_all_reach_is_an_error(name, text, order, planted):
    error = planted(name, False, order)[2]
    assert error.startswith(f"{name}: block ")
    assert text in error
    assert planted(name, True, order) == (EXPECTED[name], [0, 0], "")  # and nothing is left behind


def test_waiting_for_a_block_that_has_not_started_is_an_error(planted):
    assert planted("wait_for_the_block_before", False, "forward")[2] == ""
    error = planted("wait_for_the_block_before", False, "reversed")[2]
    assert error == "wait_for_the_block_before: block 4: threads wait for another block"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("load_four_at_once", "misaligned address"),
        ("beyond_an_array", "index 96 out of bounds"),
        ("beyond_the_data", "heap-buffer-overflow"),
    ],
)
def test_what_a_gpu_would_fault_on_ends_the_process(name, text):
    call = f"import test_cuda_emulator as t; t.run(t.build_planted(), '{name}', False, 'forward')"
    done = subprocess.run(
        [sys.executable, "-c", call],
        env={**os.environ, **cuda_emulation.checking_addresses()},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert text in done.stderr
