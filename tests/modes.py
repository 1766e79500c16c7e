"""How the tests were asked to run: on which device, and whether GPU kernels run on the CPU.

``DSR_TEST_FEW=1`` asks for few random cases, where each takes long: under compute-sanitizer.
``DSR_TEST_PART=1/6`` runs the second of six parts of the tests on a GPU.
"""

import os

DEVICE = os.environ.get("DSR_TEST_DEVICE", "cpu")
INTERPRETED = os.environ.get("DSR_TEST_INTERPRET") == "1"
EMULATED = os.environ.get("DSR_TEST_EMULATE") == "1"
FEW = os.environ.get("DSR_TEST_FEW") == "1"
PART = os.environ.get("DSR_TEST_PART", "0/1")
FEWEST = 4


def scaled(number):
    """How many of ``number`` random cases to run: fewer where a case takes long."""
    if FEW:
        return FEWEST
    if INTERPRETED:
        return max(FEWEST, number // 100)
    return max(FEWEST, number // 20) if EMULATED or DEVICE == "cuda" else number


def part_of(items):
    """Those of the tests that belong to the part asked for."""
    part, parts = map(int, PART.split("/"))
    return items[part::parts]
