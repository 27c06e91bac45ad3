// The text that `longspan search` prints for people. The functions depend on nothing but their
// arguments.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>
#include <string_view>
#include <vector>

#include "client/document_file.h"

namespace longspan {

// A file that was searched.
struct SearchedFile {
  std::string name;
  DocumentText document;
  bool has_text = true;  // false: a kept document of which only places are known
};

// One result: the file, then its best passages, each with its place, the words of the question
// marked and its best tokens underlined:
//
//   1  contracts/lease.txt                     score 1.43, similarity 0.62
//      line 120, characters 5231..5540         score 2.31, similarity 0.71
//        The lease ends on the last day of ...
//
// `rank` counts from 1. `colour`: with ANSI's escapes.
std::string ResultText(int rank, const SearchedFile& file, const v1::SearchResult& result,
                       const std::string& query, bool colour);

// Whether two words read alike: one begins as the other does, but for their last letters.
bool ReadAlike(std::string_view a, std::string_view b);

}  // namespace longspan
