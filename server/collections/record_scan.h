// ScanRecords: reads all records of a collection's file and checks every byte.
//
// A batch counts once its commit is there. What stands behind the last commit was never
// acknowledged: the end is torn, and to be cut. Where a record is wrong and a whole commit stands
// further on, something acknowledged was damaged, and that is an error. RecordFile writes a commit
// only once what it ends is on the disk, so a torn end never has one.
//
// It reads with read() and not through a mapping, where a disk that fails would kill the process.
//
// A free function without state: thread safe. Proven by record_file_test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/collections/record_format.h"

namespace longspan {

struct ScannedRecord {
  RecordHeader header;
  std::string id;
};

struct RecordScan {
  std::vector<ScannedRecord> records;  // puts and deletes of whole batches, in order
  uint64_t batches = 0;
  uint64_t end = 0;   // of the last whole batch
  std::string fault;  // what is wrong behind `end`; empty = nothing is there
};

// DATA_LOSS with offset, what was expected and what was found.
absl::StatusOr<RecordScan> ScanRecords(int file, const DecodedFileHeader& header,
                                       uint64_t file_bytes);

}  // namespace longspan
