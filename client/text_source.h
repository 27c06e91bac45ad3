// TextSource: the texts of the files and folders that a command was given, in order, each read when
// it is asked for. Of a folder it takes all that people would call its texts:
//
//   contracts/            every file below it, by name, also in folders below it
//   contracts/.git        hidden: skipped, with a line on stderr
//   contracts/logo.png    binary (a byte 0 in its first 8 KiB), empty or no file: likewise
//   contracts/old         a link to a folder: likewise, so that no walk goes round
//
// A file that cannot be read, or is no UTF-8, is an error: a line on stderr, and the walk goes on.
//
// Thread safety: none of its own; one thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/document_file.h"

namespace longspan {

class TextSource {
 public:
  struct Options {
    std::vector<std::string> paths;    // files, folders, or "-" for standard input
    std::vector<std::string> include;  // of folders: names of files (fnmatch); empty = all
    int64_t max_bytes = 0;             // a larger text is an error; 0 = no limit
    bool documents = false;            // also gzip, zstd, PDF and HTML (client/document_file.h)
  };
  struct Text {
    std::string path;
    std::string text;
    DocumentKind kind = DocumentKind::kText;
  };

  explicit TextSource(const Options& options);

  // The next text; nothing where there is none.
  std::optional<Text> Next();
  bool at_end() const { return pending_.empty(); }
  int64_t errors() const { return errors_; }  // files that could not be read, so far

 private:
  struct Place {
    std::string path;
    bool found = false;  // in a folder, not given by the user
  };

  void Skip(const Place& place, const char* why) const;
  void Fail(const absl::Status& status);
  // Puts what the folder holds in front of all else.
  void OpenFolder(const Place& place);
  absl::StatusOr<Text> Read(const std::string& path) const;
  // Whether the file is a text to read; says why not.
  bool IsWanted(const Place& place);

  const std::vector<std::string> include_;
  const int64_t max_bytes_;
  const bool documents_;
  std::deque<Place> pending_;
  int64_t errors_ = 0;
};

}  // namespace longspan
