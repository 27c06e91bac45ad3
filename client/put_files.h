// `longspan put`: keeps files in a collection of the server, in calls of a megabyte of text or a
// single larger one, so that memory and what a stop undoes are bounded whatever there is to keep.
// What is wrong with one file is a line on stderr, and the others go on. Each call keeps all of its
// documents or none, and all of it may be done again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/commands.h"

namespace longspan {

struct PutCommand {
  std::string collection;
  std::vector<std::string> files;    // and folders; - = standard input
  std::vector<std::string> include;  // of folders: which names; empty = all
  absl::Duration ttl;                // zero = for ever
  std::string format;                // int8 | two_bit; empty = the collection's, or int8
  uint32_t span_tokens = 0;          // of a passage; 0 = the collection's, or the server's default
  std::string language;              // of the stems; empty = the collection's, or english
  std::string truncation = "reject";
  int64_t max_tokens = 0;  // longest text in tokens; 0 = the server's limit
};

// Prints a row for each document that is kept, and a summary on stderr. Returns the exit code: that
// of a call that failed, else 1 where the server refused a document, else 3 where a file could not
// be read, else 0.
int RunPut(const CommonOptions& common, const PutCommand& command);

}  // namespace longspan
