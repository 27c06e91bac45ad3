// What the program finds in liblongspan_cuda.so (core/backend/open_backend.h): it looks at the
// driver and the card, and says in one line why there is no backend.
#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <exception>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/backend/open_backend.h"
#include "core/cuda/cuda_backend.h"

namespace longspan {
namespace {

constexpr int kLeastCapability = 8;  // the major number: Ampere, the first with bfloat16

// "13.0", of 13000.
std::string VersionOf(int number) { return absl::StrCat(number / 1000, ".", number % 1000 / 10); }

// Why the card `index` cannot be used; empty where it can.
std::string WhatIsMissing(int index) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
    return "no NVIDIA driver is installed, or libcuda.so.1 is not in the library path";
  if (driver < CUDART_VERSION) {
    return absl::StrCat("the NVIDIA driver supports CUDA ", VersionOf(driver),
                        "; needed: ", VersionOf(CUDART_VERSION), " or newer");
  }
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess && error != cudaErrorNoDevice)
    return absl::StrCat("the NVIDIA driver does not start: ", cudaGetErrorString(error));
  if (count == 0) return "no NVIDIA card is visible; CUDA_VISIBLE_DEVICES may hide cards";
  if (index >= count) {
    return absl::StrCat("card ", index, " is not there; visible: 0 ... ", count - 1,
                        "; CUDA_VISIBLE_DEVICES may hide cards");
  }
  cudaDeviceProp properties = {};
  if (const cudaError_t asked = cudaGetDeviceProperties(&properties, index); asked != cudaSuccess)
    return absl::StrCat("card ", index, " does not answer: ", cudaGetErrorString(asked));
  if (properties.major < kLeastCapability) {
    return absl::StrCat("card ", index, ", ", properties.name, ", has compute capability ",
                        properties.major, ".", properties.minor, "; needed: ", kLeastCapability,
                        ".0 or newer");
  }
  if (!at::hasCUDA()) {
    return "this LibTorch has no CUDA part, or CUDA was asked for before the plugin was opened";
  }
  return "";
}

void Say(const std::string& what, char* error) {
  std::snprintf(error, kOpenBackendErrorBytes, "%s", what.c_str());
}

}  // namespace
}  // namespace longspan

extern "C" __attribute__((visibility("default"))) longspan::Backend* LongspanOpenBackend(
    int interface, int index, char* error) {
  if (interface != longspan::kBackendInterface) {
    longspan::Say(absl::StrCat("the CUDA plugin is of another version of longspan: its interface "
                               "has the number ",
                               longspan::kBackendInterface, ", the program's has ", interface),
                  error);
    return nullptr;
  }
  try {
    const std::string missing = longspan::WhatIsMissing(index);
    if (missing.empty()) return new longspan::CudaBackend(index);
    longspan::Say(missing, error);
  } catch (const c10::Error& failed) {
    longspan::Say(absl::StrCat("card ", index, ": ", failed.what_without_backtrace()), error);
  } catch (const std::exception& failed) {
    longspan::Say(absl::StrCat("card ", index, ": ", failed.what()), error);
  }
  return nullptr;
}
