// `longspan merge`: makes one folder of the folders of all shards. It is byte for byte what one run
// over all records would have written, given the same vectors, and is made only where the shards
// hold each record exactly once.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace longspan {

struct MergeCommand {
  std::vector<std::string> shards;  // folders, in any order, or folders of such folders
  std::string out;                  // the folder to make; it must not exist
};

// FAILED_PRECONDITION where shards are missing, not done, or of different runs; DATA_LOSS where a
// record is in none of them, or in two.
absl::Status MergeShards(const MergeCommand& command);

// Returns the exit code of the program.
int RunMerge(const MergeCommand& command);

}  // namespace longspan
