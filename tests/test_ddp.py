"""DistributedDataParallel on several ranks: a launch for each number, all checks on every rank."""

import ddp_masks
import nets
import pytest
from ddp_launch import LAUNCHES, SUITES, checks, launched_once, values

MOVING = sorted(nets.METHODS.keys() - set(nets.FIXED))


@pytest.fixture
def reports(request, tmp_path_factory):
    return launched_once(tmp_path_factory, LAUNCHES[request.param], request.param)[1]


on_every_launch = pytest.mark.parametrize("reports", LAUNCHES, indirect=True)


@pytest.mark.parametrize(
    ("reports", "check"),
    [(suite, check) for suite in LAUNCHES for check in checks(suite)],
    indirect=["reports"],
)
def test_check(check, reports, device):
    values(reports, check)


@pytest.mark.parametrize(("suite", "processes"), LAUNCHES.items())
def test_every_rank_ends_without_error(suite, processes, tmp_path_factory, device):
    folder, reports = launched_once(tmp_path_factory, processes, suite)
    assert [report["error"] for report in reports] == [None] * processes
    launcher = (folder / "launcher.txt").read_text()
    assert launcher.startswith("0\n"), launcher


@on_every_launch
def test_masks_and_weights_are_equal_on_any_number_of_ranks(reports, device):
    expected = {name: list(found) for name, found in ddp_masks.exact_digests(0, 1).items()}
    assert all(expected[name][1] > 0 for name in MOVING)
    for found in values(reports, "check_exact_training"):
        assert found == expected


@on_every_launch
def test_other_initial_weights_seeds_and_thread_counts_change_no_mask(reports, device):
    found = values(reports, "check_training_with_other_seeds_and_threads")
    assert all(found[0][name][1] > 0 for name in MOVING)
    assert all(one == found[0] for one in found)


@on_every_launch
def test_no_collective_of_ours_but_the_comparison_behind_reallocations(reports, device):
    ranks = len(reports)
    for found in values(reports, "check_collectives"):
        theirs, _ = found.pop("plain")
        assert len(theirs) >= ddp_masks.STEPS
        for name, (seen, reallocations) in found.items():
            compared = 3 if ranks > 1 else 0  # DeepR's ten too: every fourth step
            assert reallocations == (10 if name == "deepr" else 3), name
            ours = [["allreduce_.default", "torch.int64", ranks]] * compared
            assert sorted(seen) == sorted(theirs + ours), name


@on_every_launch
def test_calibration_batches_of_all_ranks_choose_one_mask_by_one_reduction(reports, device):
    together, alone = zip(*values(reports, "check_calibration_on_other_batches"), strict=True)
    assert len({masks for masks, _ in together}) == 1
    assert len({masks for masks, _ in alone}) == len(reports)
    saliencies = sum(p.numel() for n, p in nets.mlp().named_parameters() if n.endswith("weight"))
    once = [["allreduce_.default", "torch.float32", saliencies]] if len(reports) > 1 else []
    assert all(collectives == once for _, collectives in together)
    assert all(collectives == [] for _, collectives in alone)


@pytest.mark.parametrize(
    "reports", [suite for suite in LAUNCHES if "gradients" in SUITES[suite]], indirect=True
)
def test_accumulation_without_sync_equals_one_process(reports, device):
    expected = ddp_masks.exact_digests(0, 1)
    for found in values(reports, "check_accumulation_equals_one_process"):
        assert found == expected
