#include "server/collections/growing_map.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "server/collections/file_calls.h"

namespace longspan {
namespace {

constexpr uint64_t kLeastBytes = uint64_t{1} << 20;

}  // namespace

GrowingMap::~GrowingMap() {
  for (const Range& range : ranges_) munmap(range.first_byte, range.num_bytes);
}

absl::Status GrowingMap::Cover(int file, uint64_t num_bytes) {
  if (!ranges_.empty() && num_bytes <= ranges_.back().num_bytes) return absl::OkStatus();
  const uint64_t size = std::bit_ceil(std::max(num_bytes, kLeastBytes));
  void* const first_byte = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  if (first_byte == MAP_FAILED) return SystemError("cannot be mapped into memory", errno);
  ranges_.push_back({.first_byte = static_cast<std::byte*>(first_byte), .num_bytes = size});
  return absl::OkStatus();
}

}  // namespace longspan
