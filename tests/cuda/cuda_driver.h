// CudaDriver: what the driver tells of a card, asked of libcuda.so.1 as it is found at run time.
// backend_check links no CUDA library, and runs where there is none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace longspan {

class CudaDriver {
 public:
  // Opens card `index`, in the context that LibTorch uses too. Without a driver or the card nothing
  // is known.
  explicit CudaDriver(int index);

  // "NVIDIA H100 80GB HBM3"; empty = not known.
  const std::string& name() const { return name_; }
  // 13000 = CUDA 13.0, the newest that the driver takes; 0 = not known.
  int version() const { return version_; }
  // 90 = 9.0; 0 = not known.
  int compute_capability() const { return compute_capability_; }
  int num_processors() const { return num_processors_; }
  int64_t total_bytes() const { return total_bytes_; }
  // Bytes of the card that are taken, by all processes.
  std::optional<int64_t> BytesInUse() const;

 private:
  void Open(int index);

  void* library_ = nullptr;  // stays open
  void* context_ = nullptr;
  std::string name_;
  int version_ = 0, compute_capability_ = 0, num_processors_ = 0;
  int64_t total_bytes_ = 0;
};

}  // namespace longspan
