#include "tests/cuda/cuda_driver.h"

#include <dlfcn.h>

#include <cstddef>

namespace longspan {
namespace {

// The values of cuda.h that are asked for; they are part of the driver's stable interface.
constexpr int kSuccess = 0;
constexpr int kMultiprocessorCount = 16;
constexpr int kComputeCapabilityMajor = 75, kComputeCapabilityMinor = 76;

template <typename Function>
Function* Find(void* library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}

}  // namespace

CudaDriver::CudaDriver(int index) {
  library_ = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library_ != nullptr) Open(index);
}

void CudaDriver::Open(int index) {
  const auto init = Find<int(unsigned)>(library_, "cuInit");
  const auto get_version = Find<int(int*)>(library_, "cuDriverGetVersion");
  const auto get_device = Find<int(int*, int)>(library_, "cuDeviceGet");
  const auto get_name = Find<int(char*, int, int)>(library_, "cuDeviceGetName");
  const auto get_attribute = Find<int(int*, int, int)>(library_, "cuDeviceGetAttribute");
  const auto get_total = Find<int(size_t*, int)>(library_, "cuDeviceTotalMem_v2");
  const auto retain = Find<int(void**, int)>(library_, "cuDevicePrimaryCtxRetain");
  if (!init || !get_version || !get_device || !get_name || !get_attribute || !get_total || !retain)
    return;
  int device = 0;
  if (init(0) != kSuccess || get_device(&device, index) != kSuccess) return;
  get_version(&version_);
  char name[256] = "";
  if (get_name(name, sizeof name - 1, device) == kSuccess) name_ = name;
  int major = 0, minor = 0;
  get_attribute(&major, kComputeCapabilityMajor, device);
  get_attribute(&minor, kComputeCapabilityMinor, device);
  get_attribute(&num_processors_, kMultiprocessorCount, device);
  compute_capability_ = 10 * major + minor;
  size_t total = 0;
  if (get_total(&total, device) == kSuccess) total_bytes_ = static_cast<int64_t>(total);
  if (retain(&context_, device) != kSuccess) context_ = nullptr;
}

std::optional<int64_t> CudaDriver::BytesInUse() const {
  if (context_ == nullptr) return std::nullopt;
  const auto set_context = Find<int(void*)>(library_, "cuCtxSetCurrent");
  const auto get_info = Find<int(size_t*, size_t*)>(library_, "cuMemGetInfo_v2");
  size_t free_bytes = 0, total = 0;
  if (!set_context || !get_info || set_context(context_) != kSuccess ||
      get_info(&free_bytes, &total) != kSuccess)
    return std::nullopt;
  return static_cast<int64_t>(total - free_bytes);
}

}  // namespace longspan
