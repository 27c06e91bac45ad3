// Any text as x-request-id, traceparent and the peer's address, cut at bytes 0x1E: what is taken
// over is short and visible ASCII, so that it can end no line of a log and break no answer's
// header; the client is a part of the peer.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "server/rpc/caller_metadata.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void Check(std::string_view input) {
  const auto next = [&input] {
    const std::string_view part = input.substr(0, input.find('\x1E'));
    input.remove_prefix(std::min(input.size(), part.size() + 1));
    return part;
  };
  for (const size_t longest : {kMaxRequestIdBytes, kMaxTraceparentBytes}) {
    const std::string_view text = next();
    const std::string taken = PlainOrNothing(text, longest);
    Require(taken.size() <= longest && (taken.empty() || taken == text));
    for (const char c : taken) Require(c > ' ' && c <= '~');
  }
  const std::string peer(input);
  const std::string client = ClientOf(peer);
  Require(peer.starts_with(client));
  Require(peer.find(':') == std::string::npos || peer.starts_with("unix") ||
          client.size() < peer.size());
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
