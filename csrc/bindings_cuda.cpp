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
  module.def("prune_threshold", &dsr::cuda::prune_threshold, release);
  module.def("kth_magnitude", &dsr::cuda::kth_magnitude, release);
  module.def("prune_smallest", &dsr::cuda::prune_smallest, release);
  module.def("grow_largest", &dsr::cuda::grow_largest, release);
  module.def("reset_state", &dsr::cuda::reset_state, release);
  module.def("add_noise", &dsr::cuda::add_noise, release);
  module.def("grow_random", &dsr::cuda::grow_random, release);
  module.def("allocate_growth", &dsr::cuda::allocate_growth, release);
  module.def("layer_mean", &dsr::cuda::layer_mean, release);
  module.def("prune_sign_flips", &dsr::cuda::prune_sign_flips, release);
}
