// Lets pybind11 take a Buffer as the tuple (pointer, elements, dtype code).
#pragma once

#include <pybind11/pybind11.h>

#include "common/buffer.h"

namespace pybind11::detail {

template <>
struct type_caster<dsr::Buffer> {
  PYBIND11_TYPE_CASTER(dsr::Buffer, const_name("tuple[int, int, int]"));

  bool load(handle source, bool /*convert*/) {
    if (!PyTuple_Check(source.ptr()) || PyTuple_GET_SIZE(source.ptr()) != 3) return false;
    value.data = PyLong_AsVoidPtr(PyTuple_GET_ITEM(source.ptr(), 0));
    value.size = PyLong_AsLongLong(PyTuple_GET_ITEM(source.ptr(), 1));
    value.dtype = static_cast<dsr::DType>(PyLong_AsLong(PyTuple_GET_ITEM(source.ptr(), 2)));
    if (PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    return true;
  }
};

}  // namespace pybind11::detail
