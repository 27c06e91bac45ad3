// AnswerWriter: how `longspan encode` writes the answers to many texts, each as it comes, so that
// none is held:
//
//   jsonl   a longspan.v1.Encoding as JSON on each line of stdout
//   table   for people: tokens, spans, the first values, the text's path
//   npy     numpy's matrix [vectors, dimensions] of float32 in the file --out. What each row is
//           stands beside it, in FILE.ids.jsonl: {"row": 0, "id": "a.txt"}, of spans also
//           {"characters": [0, 19]} or, of no characters, {"tokens": [0, 4]}
//
// Thread safety: none.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace longspan {

class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // An error ends the writing: the output cannot be written.
  virtual absl::Status Write(const v1::Encoding& encoding) = 0;
  // After the last answer.
  virtual absl::Status Finish() { return absl::OkStatus(); }
};

// `format`: jsonl | table | npy. `out`: the file of npy.
absl::StatusOr<std::unique_ptr<AnswerWriter>> OpenAnswerWriter(const std::string& format,
                                                               const std::string& out);

// A message as one line of JSON, by the names of the contract.
std::string JsonLine(const google::protobuf::Message& message);

}  // namespace longspan
