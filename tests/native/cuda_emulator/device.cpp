// Stands in for csrc/cuda/device.cu: these kernels always run.
#include "cuda/device.h"

namespace dsr::cuda {

std::string unavailable(int /*device*/) { return ""; }

std::map<std::string, std::string> versions() {
  return {{"build", ""}, {"runtime", ""}, {"driver", ""}, {"architectures", "emulated"}};
}

}  // namespace dsr::cuda
