// RecordSource: the records of `longspan bulk`, in order: the lines of JSONL files, each an object
// with a text, or with the path of a file that holds it, and an id.
//
//   {"id": "contract-7", "text": "This agreement ..."}
//   {"id": "contract-8", "path": "contracts/8.txt"}
//
// A path is relative to the folder of the file that names it. Where there is no id the record's
// number is taken. Blank lines are no records. A line that is no record is one that has an error.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/bulk/input_file.h"

namespace longspan {

// How far the inputs were read. The checksum (CRC-32) is that of all bytes before it, uncompressed.
struct InputPosition {
  uint64_t file = 0;     // which of the files
  uint64_t offset = 0;   // bytes of it, uncompressed
  uint64_t line = 0;     // lines of it
  uint64_t records = 0;  // of all files, and of all shards
  uint32_t checksum = 0;
};

struct Record {
  uint64_t number = 0;  // from 0, over all files and all shards
  std::string id;
  std::string text;
  absl::Status error;           // why there is no text
  std::string file;             // where it stands
  InputPosition position;       // behind it; its `line` is the record's own, from 1
  std::optional<double> share;  // RecordSource::share when it was read
};

class RecordSource {
 public:
  struct Options {
    std::vector<std::string> files;  // or "-" for standard input
    std::string text_field = "text";
    std::string path_field = "path";
    std::string id_field = "id";
    uint64_t shard = 0;  // of the records those whose number modulo `shards` it is
    uint64_t shards = 1;
    uint64_t max_text_bytes = 0;  // a longer text is an error; 0 = no limit
  };

  explicit RecordSource(const Options& options);

  // Goes on behind `position`. DATA_LOSS where the inputs are others, up to there, than they were.
  absl::Status SkipTo(const InputPosition& position);
  // The next record; nothing at the end. An error ends the reading: an input cannot be read.
  absl::StatusOr<std::optional<Record>> Next();
  const InputPosition& position() const { return position_; }
  // The share of the inputs' bytes that was read; nothing where their size is not known.
  std::optional<double> share() const;

 private:
  // Reads more bytes behind those that are held; false at the end of the file.
  absl::StatusOr<bool> Fill();
  // The next line, without its end, into line_; false at the end of all files. A line of more than
  // the largest size is cut, and too_long_ set.
  absl::StatusOr<bool> NextLine();
  // Takes what is behind begin_ as read, up to `end`.
  void Consume(size_t end);
  Record Parse() const;
  void ReadText(const std::string& path, Record* record) const;
  size_t max_line_bytes() const;

  const Options options_;
  std::vector<uint64_t> sizes_;  // of the files, in bytes
  bool sizes_known_ = true;
  InputPosition position_;
  std::unique_ptr<InputFile> file_;
  std::string buffer_;  // bytes of the file; those from begin_ on are not consumed
  size_t begin_ = 0;
  std::string line_;
  bool too_long_ = false;
};

}  // namespace longspan
