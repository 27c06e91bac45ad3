// The text that `longspan encode --summary` prints, and what other output shares with it. The
// functions depend on nothing but their arguments.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace longspan {

// The summary of `response`, which is the answer for the one text `text`: tokens read, the first
// values of the vector, time by stage, speed, and for a longer text the share of it that a server
// which truncates at 512 tokens would have read. `wall` is the time of the call as the client saw
// it, the network included. Each line ends with "\n".
std::string SummaryText(const std::string& text, const v1::EncodeResponse& response,
                        absl::Duration wall);

// The first values of the vector, as "[0.125000, -0.250000, ...]".
std::string VectorHead(const v1::Vector& vector, int most_values);

// `text` as one line: each run of white space becomes one space, and there is none at the
// beginning. What is longer than max_bytes is cut in front of a UTF-8 character, and "..." is
// appended. `from`, where it is given, gets the place in `text` of each byte of the line but "...".
std::string JoinLines(const std::string& text, size_t max_bytes,
                      std::vector<size_t>* from = nullptr);

}  // namespace longspan
