// What the commands of kept documents print for people. The functions depend on nothing but their
// arguments.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <string>

namespace longspan {

// A table of the collections, or that there are none:
//
//   documents       tokens      bytes  format   span  language    name
//         128      1203456   29.1 MiB  int8       64  english     contracts
//           -            -          -  -           -  -           old: cannot be used: ...
std::string CollectionsText(const v1::ListCollectionsResponse& response);

// What a collection has: "128 documents, 1203456 tokens, 29.1 MiB".
std::string ContentsText(const v1::Collection& collection);

// "1 document", "2 documents".
std::string CountText(uint64_t count, const std::string& noun);

// Text of others as a terminal may get it: one line, "?" for each control character.
std::string PrintableText(const std::string& text);

}  // namespace longspan
