// `longspan search QUERY --collection NAME`: the kept documents, and the places in them, that
// answer a question best. The server keeps no texts; where an id is the path of a file that still
// fits the answer, its passages are read from there.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>

#include "client/search_files.h"
#include "client/search_text.h"

namespace longspan {

int SearchKept(const CommonOptions& common, const SearchCommand& command, bool colour);

// The file that a result names, with its text where there is a regular file of at most `max_bytes`
// (0 = any) that holds all of its passages: their bytes and characters agree. A file that has
// changed otherwise is not found out. Says on stderr why a file that is there is not shown.
SearchedFile KeptFile(const v1::SearchResult& result, int64_t max_bytes);

}  // namespace longspan
