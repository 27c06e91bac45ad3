// What of a caller's metadata and address is taken over into answers, logs and queues. All of it
// comes from anybody: what is not plain, or too long, is left out.
//
// Free functions without state: thread safe. Proven by caller_metadata_test and by the fuzz target
// caller_metadata_fuzz.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace longspan {

// Longest x-request-id and traceparent that are taken over, in bytes. The log is no place for
// longer ones. A traceparent of today's version has 55.
inline constexpr size_t kMaxRequestIdBytes = 128;
inline constexpr size_t kMaxTraceparentBytes = 64;

// `text` where it is visible ASCII without blanks and has at most `longest` bytes, else "".
inline std::string PlainOrNothing(std::string_view text, size_t longest) {
  const bool plain = text.size() <= longest && std::all_of(text.begin(), text.end(), [](char c) {
                       return c > 0x20 && c < 0x7f;
                     });
  return plain ? std::string(text) : "";
}

// Peer address without its port, so that all connections of a client share one part of the queue.
inline std::string ClientOf(const std::string& peer) {
  const size_t colon = peer.rfind(':');
  return colon == std::string::npos || peer.rfind("unix", 0) == 0 ? peer : peer.substr(0, colon);
}

}  // namespace longspan
