// dsr_kernels._cpu: one function an op; the GIL is released while it runs.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "buffer_caster.h"
#include "cpu/launchers.h"

namespace py = pybind11;

PYBIND11_MODULE(_cpu, module) {
  const auto release = py::call_guard<py::gil_scoped_release>();
  module.def("apply_mask", &dsr::cpu::apply_mask, release);
  module.def("mask_and_count", &dsr::cpu::mask_and_count, release);
  module.def("masked_copy", &dsr::cpu::masked_copy, release);
  module.def("prune_threshold", &dsr::cpu::prune_threshold, release);
  module.def("kth_magnitude", &dsr::cpu::kth_magnitude, release);
  module.def("prune_smallest", &dsr::cpu::prune_smallest, release);
  module.def("allocate_growth", &dsr::cpu::allocate_growth, release);
  module.def("grow_random", &dsr::cpu::grow_random, release);
  module.def("grow_largest", &dsr::cpu::grow_largest, release);
  module.def("layer_mean", &dsr::cpu::layer_mean, release);
  module.def("reset_state", &dsr::cpu::reset_state, release);
  module.def("add_noise", &dsr::cpu::add_noise, release);
  module.def("prune_sign_flips", &dsr::cpu::prune_sign_flips, release);
  module.def("pack", &dsr::cpu::pack, release);
  module.def("unpack", &dsr::cpu::unpack, release);
}
