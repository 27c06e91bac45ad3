// GrowingMap: a file that grows, as memory that can be read. An address stays good for as long as
// the map lives, however much the file grows: where it has outgrown the range that is mapped, a
// second one of twice the size comes beside it. The kernel holds the pages of both once.
//
// Ranges reach beyond the end of the file. Reading there kills the process, so callers read no
// further than the file goes.
//
// Thread safety: Cover alone; what it gave may be read by any thread. Proven by record_file_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace longspan {

class GrowingMap {
 public:
  GrowingMap() = default;
  GrowingMap(const GrowingMap&) = delete;
  GrowingMap& operator=(const GrowingMap&) = delete;
  ~GrowingMap();

  // Makes [0, num_bytes) of the file addressable, of which the end may yet be written.
  absl::Status Cover(int file, uint64_t num_bytes);
  // Of what the last Cover was told.
  const std::byte* at(uint64_t offset) const { return ranges_.back().first_byte + offset; }

 private:
  struct Range {
    std::byte* first_byte = nullptr;
    uint64_t num_bytes = 0;
  };
  std::vector<Range> ranges_;  // each at least twice as large as the one before
};

}  // namespace longspan
