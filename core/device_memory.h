// DeviceMemory: how much memory a device has. A plain value that rooms without tensors share.
#pragma once

#include <cstdint>

namespace longspan {

struct DeviceMemory {
  int64_t total_bytes = 0;  // of the device; 0 = not known
  // What tensors may still take: bytes that nobody has, and those that the pool of this process
  // keeps for its next tensors.
  int64_t free_bytes = 0;
};

}  // namespace longspan
