"""The bits that grow_random_ draws, pinned for good: masks of old runs must be drawn again alike.

A line of golden_masks.csv that changes is a new version, said in the changelog. To write the file
anew: ``python tests/test_golden_masks.py --write``.
"""

import csv
import hashlib
import random
import sys
from pathlib import Path

import torch

import dsr_kernels
from dsr_kernels import BitMask, SparseLayout, grow_random_

OP = "grow_random_"
FILE = Path(__file__).parent / "golden_masks.csv"
HEADER = (
    "# SHA-256 (first 16 digits) of the mask words, little endian, that grow_random_ draws: k of\n"
    "# the n units of a layer, of which the first `pruned` have just been pruned. Any change to a\n"
    "# line is a version bump, said in CHANGELOG.md.\n"
)
LARGE = ((1_000_000, 10), (1_000_000, 50_000), (999_983, 999), (2**19, 2**17), (2**17 + 1, 9999))


def read():
    """The rows as dicts of ints, and the digest of each."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    digests = [row.pop("sha256") for row in rows]
    return [{name: int(value) for name, value in row.items()} for row in rows], digests


def draw(row, device="cpu"):
    """The digest of the mask that grow_random_ draws for one row."""
    layout = SparseLayout.of_elements([0] * row["layer"] + [row["n"]])
    mask = BitMask.zeros(layout, device)
    bits = [torch.zeros(0, dtype=torch.bool)] * row["layer"]
    bits.append(torch.arange(row["n"]) < row["pruned"])
    previous = BitMask.from_bools(layout, bits).to(device)
    grown = grow_random_(
        mask,
        previous,
        torch.tensor([0] * row["layer"] + [row["k"]], device=device),
        seed=row["seed"],
        reallocation=torch.tensor([row["reallocation"]], device=device),
        purpose=row["purpose"],
    )
    assert int(grown.sum()) == int(mask.counts().sum()) == min(row["k"], row["n"])
    words = mask.words.cpu().numpy().astype("<i4")
    return hashlib.sha256(words.tobytes()).hexdigest()[:16]


def choose():
    """200 rows: every size of network up to 10 bits, then larger layers, of all sorts of keys."""
    rng = random.Random(2019)
    rows = []
    for number in range(200):
        if number < 5:
            n, k = LARGE[number]
        elif number < 30:
            n = number - 4
            k = max(1, n // 2)
        else:
            n = rng.choice(
                (rng.randint(26, 200), rng.randint(200, 1024), rng.randint(1025, 20_000))
            )
            k = rng.choice((1, max(1, n // 50), n // 3, n - 1))
        row = {
            "seed": rng.choice((0, 1, 2**32, 2**63, 2**64 - 1, rng.getrandbits(64))),
            "layer": rng.choice((0, 0, 1, 2, 60)),
            "reallocation": rng.choice((0, 1, 2, 1000, 2**31, 2**32 - 1, rng.getrandbits(32))),
            "n": n,
            "k": k,
            "purpose": rng.choice((0, 1, 1, 2, 2**15 - 1)),
            "pruned": rng.choice((0, 0, 0, n // 2, n)),
        }
        rows.append(row)
    return rows


def test_every_mask_is_drawn_as_ever(backend, device):
    rows, digests = read()
    with dsr_kernels.backend(backend):
        changed = [row for row, old in zip(rows, digests, strict=True) if draw(row, device) != old]
    assert not changed


def test_the_file_holds_what_it_says():
    rows, digests = read()
    assert FILE.read_text().startswith(HEADER)
    assert rows == choose()
    assert len({tuple(row.values()) for row in rows}) == len(rows) == 200
    assert max(row["n"] for row in rows) == 1_000_000
    assert len(set(digests)) > 180  # masks of a few units coincide, others never do
    assert draw({**rows[0], "seed": rows[0]["seed"] ^ 1}) != digests[0]


def write():
    with dsr_kernels.backend("reference"):
        rows = [{**row, "sha256": draw(row)} for row in choose()]
    with FILE.open("w", newline="") as file:
        file.write(HEADER)
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write()
