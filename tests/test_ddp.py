"""DistributedDataParallel on 2 and 4 ranks: one launch each, every check on every rank."""

import ddp_divergence
import ddp_exit
import ddp_gradients
import ddp_masks
import ddp_refusals
import ddp_train
import nets
import pytest
from ddp_launch import checks, launched_once, values

LAUNCHES = {"pair": 2, "many": 4}
MOVING = sorted(nets.METHODS.keys() - set(nets.FIXED))


@pytest.fixture
def reports(request, tmp_path_factory):
    return launched_once(tmp_path_factory, LAUNCHES[request.param], request.param)[1]


@pytest.fixture
def pair(tmp_path_factory):
    return launched_once(tmp_path_factory, 2, "pair")[1]


on_2_and_4 = pytest.mark.parametrize("reports", LAUNCHES, indirect=True)


@pytest.mark.parametrize("check", checks(ddp_gradients, ddp_refusals))
def test_on_two_ranks(check, pair):
    values(pair, check)


@pytest.mark.parametrize("check", checks(ddp_divergence, ddp_train, ddp_exit))
@on_2_and_4
def test_on_two_and_four_ranks(check, reports):
    values(reports, check)


@pytest.mark.parametrize(("suite", "processes"), LAUNCHES.items())
def test_every_rank_ends_without_error(suite, processes, tmp_path_factory):
    folder, reports = launched_once(tmp_path_factory, processes, suite)
    assert [report["error"] for report in reports] == [None] * processes
    launcher = (folder / "launcher.txt").read_text()
    assert launcher.startswith("0\n"), launcher


@on_2_and_4
def test_masks_and_weights_are_equal_on_any_number_of_ranks(reports):
    expected = {name: list(found) for name, found in ddp_masks.exact_digests(0, 1).items()}
    assert all(expected[name][1] > 0 for name in MOVING)
    for found in values(reports, "check_exact_training"):
        assert found == expected


@on_2_and_4
def test_other_initial_weights_seeds_and_thread_counts_change_no_mask(reports):
    found = values(reports, "check_training_with_other_seeds_and_threads")
    assert all(found[0][name][1] > 0 for name in MOVING)
    assert all(one == found[0] for one in found)


@on_2_and_4
def test_no_collective_of_ours_but_the_comparison_behind_reallocations(reports):
    ranks = len(reports)
    for found in values(reports, "check_collectives"):
        theirs, _ = found.pop("plain")
        assert len(theirs) >= ddp_masks.STEPS
        for name, (seen, reallocations) in found.items():
            compared = 3  # DeepR's ten reallocations too: every fourth step
            assert reallocations == (10 if name == "deepr" else 3), name
            ours = [["allreduce_.default", "torch.int64", ranks]] * compared
            assert sorted(seen) == sorted(theirs + ours), name


@on_2_and_4
def test_calibration_batches_of_all_ranks_choose_one_mask(reports):
    found = values(reports, "check_calibration_on_other_batches")
    together, alone = zip(*found, strict=True)
    assert len(set(together)) == 1
    assert len(set(alone)) == len(reports)


def test_accumulation_without_sync_equals_one_process(pair):
    for found in values(pair, "check_accumulation_equals_one_process"):
        for name, value in found.items():
            assert value == list(ddp_masks.exact_digest(nets.METHODS[name], 0, 1)), name
