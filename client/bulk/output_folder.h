// OutputFolder: what `longspan bulk` writes, so that a run that was killed at any moment goes on
// without a lost or doubled row.
//
//   vectors.npy       numpy's matrix [rows, dimensions]: a row for each record, in order
//   rows.jsonl        what each row is: {"row": 0, "record": 0, "id": "a", "tokens": 12,
//                     "truncated": false}
//   spans.npy         with spans, a row for each span of each record
//   spans.jsonl       {"row": 0, "record": 0, "id": "a", "characters": [0, 19]}; of a text without
//                     characters {"tokens": [0, 4]}
//   rejects.jsonl     the records that have no row: {"record": 3, "id": "d", "file": "in.jsonl",
//                     "line": 4, "code": "INVALID_ARGUMENT", "message": "..."}
//   run.json          what the run is made of; a run that differs may not go on in this folder
//   checkpoint.json   how far it has come
//
// Files only ever grow, in the order of the records. A commit writes them out to the disk, and then
// replaces the checkpoint, which has the sizes of all. Whoever opens the folder again cuts the
// files to those sizes and goes on with the record behind. The heads of the matrices are written
// with each commit, so that they can be read, also by mapping, while the run goes on.
//
// Thread safety: none. A second process cannot open the folder while one holds it.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/bulk/growing_file.h"
#include "client/bulk/record_source.h"

namespace longspan {

class OutputFolder {
 public:
  struct Checkpoint {
    InputPosition position;
    uint64_t rows = 0;
    uint64_t span_rows = 0;
    uint64_t rejects = 0;
    uint64_t tokens = 0;
    bool done = false;  // the inputs have ended
  };
  struct Format {
    std::string type = "<f4";  // numpy's name: "<f4" or "<f2"
    int64_t dimensions = 0;
    bool has_spans = false;
  };

  // Makes the folder, or opens one that was begun. `run`: an object of all that the result depends
  // on. FAILED_PRECONDITION where the folder was begun by a run that differs from it, is in use, or
  // holds other things.
  static absl::StatusOr<std::unique_ptr<OutputFolder>> Open(const std::string& path,
                                                            const nlohmann::ordered_json& run,
                                                            const Format& format);
  // Whether a run was begun in that folder.
  static bool IsBegun(const std::string& path);
  ~OutputFolder();

  const Checkpoint& checkpoint() const { return checkpoint_; }

  // What came of the record behind the one before; written to the disk by Commit.
  absl::Status Add(const Record& record, const v1::Encoding& encoding);
  absl::Status Reject(const Record& record, const absl::Status& why);
  // `done`: the inputs have ended, and stand at `position`.
  absl::Status Commit();
  absl::Status Finish(const InputPosition& position);

 private:
  // The names of the files that grow, in the order of files_.
  enum File { kVectors, kRows, kSpans, kSpanRows, kRejects, kFiles };

  OutputFolder(std::string path, const Format& format) : path_(std::move(path)), format_(format) {}
  absl::Status Lock();
  absl::Status CheckRun(const nlohmann::ordered_json& run);
  absl::Status OpenFiles();
  absl::Status WriteHeads();
  std::string Bytes(const v1::Vector& vector) const;
  std::string PathOf(const char* name) const { return path_ + "/" + name; }

  const std::string path_;
  const Format format_;
  int lock_ = -1;
  Checkpoint checkpoint_;
  std::array<uint64_t, kFiles> sizes_ = {};  // at the checkpoint
  std::array<std::unique_ptr<GrowingFile>, kFiles> files_;
};

// Writes the file whole or not at all, and to the disk.
absl::Status ReplaceFile(const std::string& path, const std::string& content);
// An object of the file. DATA_LOSS where it is none, NOT_FOUND where there is no file.
absl::StatusOr<nlohmann::json> ReadJson(const std::string& path);

}  // namespace longspan
