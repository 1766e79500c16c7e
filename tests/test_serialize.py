"""Nested state to strict JSON plus tensors, and back: exact, typed, and nothing but plain data."""

import math
import struct
from collections import Counter, OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr.serialize import DTYPES, decode, dumps, encode, loads


def roundtrip(value):
    tree, tensors = encode({"part": {"x": value}})
    return decode(loads(dumps(tree)), tensors.__getitem__)["part"]["x"]


def bits(tensor):
    size = tensor.element_size()
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size]
    return tensor.contiguous().view(integer)


keys = st.text() | st.integers()
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
    ),
    max_leaves=20,
)


def typed(value):
    """A form in which 1, 1.0 and True differ, and 0.0 from -0.0, and the order of keys counts."""
    if isinstance(value, dict):
        return ("dict", [(typed(key), typed(inner)) for key, inner in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [typed(item) for item in value])
    return (type(value).__name__, repr(value))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(nested)
def test_plain_values_keep_value_type_and_order(value):
    assert typed(roundtrip(value)) == typed(value)


@pytest.mark.parametrize(
    "pattern",
    [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000123, 0x7FF << 52, 0xFFF << 52],
)
def test_nonfinite_floats_keep_their_bits_in_strict_json(pattern):
    value = struct.unpack(">d", struct.pack(">Q", pattern))[0]
    text = dumps(encode({"part": {"x": value}})[0])
    assert b"NaN" not in text
    assert b"Infinity" not in text
    assert struct.unpack(">Q", struct.pack(">d", roundtrip(value)))[0] == pattern


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(-3), -3),
        (np.bool_(True), True),
        (np.str_("name"), "name"),
        (np.float64(math.inf), math.inf),
        (torch.Size([2, 3]), (2, 3)),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ({np.int64(4): 1}, {4: 1}),
    ],
)
def test_near_plain_values_become_plain(value, expected):
    assert typed(roundtrip(value)) == typed(expected)


def test_counter_stays_a_counter():
    loaded = roundtrip(Counter([30, 30, 80]))
    assert type(loaded) is Counter
    assert sorted(loaded.elements()) == [30, 30, 80]


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (7,), (3, 5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_keep_every_bit(dtype, shape):
    generator = torch.Generator().manual_seed(0)
    count = math.prod(shape) * dtype.itemsize
    raw = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator)
    if dtype == torch.bool:
        raw &= 1
    tensor = raw.view(dtype).view(shape)
    loaded = roundtrip(tensor)
    assert loaded.dtype == dtype
    assert loaded.shape == tensor.shape
    assert torch.equal(bits(loaded), bits(tensor))


def test_nan_payloads_and_negative_zero_survive():
    patterns = [0x7FC00000, 0x7F800001, -1, -(2**31), 1]
    tensor = torch.tensor(patterns, dtype=torch.int32).view(torch.float32)
    assert roundtrip(tensor).view(torch.int32).tolist() == patterns


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(120.0).view(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.arange(9.0).view(1, 1, 3, 3).to(memory_format=torch.channels_last),
        torch.arange(6.0).view(2, 3).t(),
        torch.arange(24).view(2, 3, 4).permute(2, 0, 1),
        torch.empty(0, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.arange(6.0).as_strided((6, 1), (1, 17)),
    ],
    ids=["channels_last", "one_channel", "transposed", "permuted", "empty", "odd_stride_of_one"],
)
def test_dense_tensors_keep_their_strides(tensor):
    loaded = roundtrip(tensor)
    assert torch.equal(loaded, tensor)
    assert loaded.stride() == tensor.stride()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(10.0)[::3],
        torch.arange(12.0).view(3, 4)[:, 1:3],
        torch.arange(3.0).expand(4, 3),
        torch.arange(12.0).view(3, 4)[1],
    ],
    ids=["step", "columns", "expanded", "row"],
)
def test_views_are_saved_without_what_lies_around_them(tensor):
    stored = encode({"part": {"x": tensor}})[1]["part.x"]
    assert stored.numel() == tensor.numel()
    loaded = roundtrip(tensor)
    assert torch.equal(loaded, tensor)
    assert loaded.is_contiguous()


def test_shared_memory_is_stored_once_or_copied():
    base = torch.arange(8.0)
    state = {"a": base, "tied": base, "overlap": base[2:6], "bits": base.view(torch.int32)}
    tree, tensors = encode({"part": state})
    assert sorted(tensors) == ["part.a", "part.bits", "part.overlap"]
    pointers = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    assert len(pointers) == 3
    loaded = decode(tree, tensors.__getitem__)["part"]
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_colliding_paths_get_names_of_their_own():
    state = {"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}, "\ud800": torch.ones(2)}
    tree, tensors = encode({"part": state})
    assert len(tensors) == 3
    loaded = decode(loads(dumps(tree)), tensors.__getitem__)["part"]
    assert loaded["a.b"].item() == 0
    assert loaded["a"]["b"].item() == 1
    assert loaded["\ud800"].tolist() == [1, 1]


def test_parameters_and_lazily_negated_tensors_are_plain_data():
    loaded = roundtrip(torch.nn.Parameter(torch.ones(2)))
    assert type(loaded) is torch.Tensor
    negated = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    assert negated.is_neg()
    assert roundtrip(negated).tolist() == [-2.0, 4.0]


Point = namedtuple("Point", "x y")


class Subclass(torch.Tensor):
    """Its own kind would be lost."""


@pytest.mark.parametrize(
    "value",
    [
        lambda: 0,
        object(),
        {1, 2},
        b"bytes",
        1j,
        defaultdict(int),
        Point(1, 2),
        np.zeros(2),
        np.timedelta64(1, "s"),
        np.longdouble(1),
        torch.float32,
        torch.device("cpu"),
        torch.zeros(2, dtype=torch.complex64),
        torch.eye(2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.zeros(2).as_subclass(Subclass),
        {1.5: 0},
        {True: 0},
        {None: 0},
        {(1, 2): 0},
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_else_is_refused_by_path(value):
    state = {"param_groups": [{"foo": value}]}
    with pytest.raises(TypeError, match=r"^optimizer\.param_groups\[0\]\.foo: "):
        encode({"optimizer": state})


def test_depth_and_size_are_bounded():
    def chain(depth):
        value = []
        for _ in range(depth):
            value = [value]
        return value

    assert roundtrip(chain(90)) == chain(90)
    with pytest.raises(ValueError, match="flatten the state"):
        roundtrip(chain(100))
    cycle = {}
    cycle["self"] = cycle
    with pytest.raises(ValueError, match="flatten the state"):
        roundtrip(cycle)
    assert roundtrip(2**4096 - 1) == 2**4096 - 1
    with pytest.raises(ValueError, match=r"part\.x: an int of more than 4096 bits"):
        roundtrip(2**4096)
