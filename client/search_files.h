// `longspan search`: the files, and the places in them, that answer a question best; or the
// documents of a collection (client/kept_search.h).
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "client/commands.h"

namespace longspan {

struct SearchCommand {
  std::string query;
  std::vector<std::string> files;    // and folders; - = standard input
  std::string collection;            // instead of files; empty = these
  std::vector<std::string> include;  // of folders: which names; empty = all
  uint32_t limit = 10;               // files of the answer
  uint32_t spans = 3;                // passages of each
  uint32_t span_tokens = 0;          // of a passage; 0 = the server's default
  std::string format = "text";       // text | json
  std::string colour = "auto";       // auto | always | never
  std::string language;              // of the stems; empty = english
  std::string truncation = "reject";
  int64_t max_tokens = 0;      // longest text in tokens; 0 = the server's limit
  std::string prompt_name;     // of the documents; empty = the model's default
  double late_weight = -1;     // below 0 = the server's default
  double lexical_weight = -1;  // below 0 = the server's default
};

// The options of the contract that the command's flags ask for; in colour best tokens, too.
v1::SearchOptions OptionsOf(const SearchCommand& command, bool colour);

// `plain`: the environment asks for no colour (NO_COLOR).
int RunSearch(const CommonOptions& common, const SearchCommand& command, bool plain);

}  // namespace longspan
