// dsr_kernels._cuda: one function an op; the GIL is released while it launches.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "buffer_caster.h"
#include "cuda/device.h"
#include "cuda/launchers.h"

namespace py = pybind11;

PYBIND11_MODULE(_cuda, module) {
  const auto release = py::call_guard<py::gil_scoped_release>();
  module.def("unavailable", &dsr::cuda::unavailable, py::arg("device") = 0, release);
  module.def("versions", &dsr::cuda::versions, release);
  module.def("apply_mask", &dsr::cuda::apply_mask, release);
}
