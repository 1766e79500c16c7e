"""The tables of bad inputs, taken together: enough of them, and each says what must be raised."""

import pytest
import test_apply_mask_rejects
import test_cli_bad_input
import test_deepr_op_rejects
import test_deepr_rejects
import test_layout_rejects
import test_op_rejects
import test_sparsify_rejects
from bad_calls import BAD_CALLS

# Rows end in the exception and its text.
TABLES = {
    "ops": [
        *test_op_rejects.REJECTS.values(),
        *test_deepr_op_rejects.REJECTS.values(),
        *test_apply_mask_rejects.BAD.values(),
        *test_layout_rejects.BAD.values(),
    ],
    "API": [*test_sparsify_rejects.CASES, *test_deepr_rejects.REFUSED, *BAD_CALLS.values()],
}
# Rows are arguments, how the line on stderr begins, and what it holds; the exit code is 2.
COMMANDS = [*test_cli_bad_input.TRAIN, *test_cli_bad_input.COMPARE]


def test_there_are_hundreds():
    assert len(TABLES["ops"]) >= 60
    assert len(TABLES["API"]) >= 80
    assert len(COMMANDS) >= 60


@pytest.mark.parametrize("table", TABLES)
def test_each_row_has_an_exception_of_the_house_and_its_text(table):
    for *_, error, text in TABLES[table]:
        assert error in (ValueError, TypeError, RuntimeError), text
        assert text.strip()


def test_each_command_is_there_once_and_its_line_names_a_flag():
    assert len({arguments for arguments, _, _ in test_cli_bad_input.TRAIN}) == len(
        test_cli_bad_input.TRAIN
    )
    for arguments, start, rest in COMMANDS:
        assert "-" in start, arguments
        assert rest, arguments
