// `longspan bulk`: encodes the records of JSONL files into a folder of matrices, with many requests
// under way, and goes on where it stopped when it is run again: after a kill, a lost server or a
// full disk no row is lost and none is doubled.
//
//   record_source.h    reads the inputs, one record after the other
//   ordered_window.h   keeps what is read and not written
//   server_pool.h      has the records encoded, by one server or several
//   output_folder.h    writes vectors, ids and rejects, and how far it has come
//   merge.h            makes one folder of those of all shards
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/commands.h"

namespace longspan {

struct BulkCommand {
  std::vector<std::string> files = {"-"};  // JSONL, gzip, zstd; - = standard input
  std::string out;                         // the folder
  std::string text_field = "text";
  std::string path_field = "path";
  std::string id_field = "id";
  std::string type = "float32";                        // of the values: float32 | float16
  std::string shard = "0/1";                           // INDEX/NUMBER
  int concurrency = 64;                                // requests under way
  int64_t max_rejects = -1;                            // more end the run; -1 = any number is taken
  absl::Duration checkpoint_every = absl::Seconds(1);  // the work that a kill may undo
  EncodeCommand encode;                                // its options of the encoding
};

// Returns the exit code: those of the program, and 128 + N after signal N (SIGINT, SIGTERM), where
// what was encoded is written first. 1 = all is done, and some records are rejected. 4 = the run
// ended before its inputs did: the servers refuse it, or too many records are rejected.
int RunBulk(const CommonOptions& common, const std::vector<std::string>& servers,
            const BulkCommand& command);

// What is wrong with the value of --shard; empty = nothing is.
std::string CheckShard(const std::string& shard);

}  // namespace longspan
