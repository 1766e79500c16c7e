// What the CUDA module was built with, and whether it can run.
#pragma once

#include <map>
#include <string>

namespace dsr::cuda {

// Why kernels of this module cannot run on a device, or "". Never throws; needs no driver.
std::string unavailable(int device);

// "build", "runtime" and "driver" as CUDA versions ("13.0"), "" for a driver that is not there;
// "architectures" as given to nvcc.
std::map<std::string, std::string> versions();

}  // namespace dsr::cuda
