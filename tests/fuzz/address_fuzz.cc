// Any text as an address to listen on: ReadAddress says no, or gives one whose parts are within
// their bounds, and which is the same when it is written as AddressText does and read again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/longspan/v1/address.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void Check(std::string_view text) {
  const auto address = ReadAddress(text);
  if (!address.has_value()) return;
  Require(!address->host.empty() && address->host.find('\0') == std::string::npos);
  Require(address->port >= 0 && address->port <= 65535);
  if (!address->has_port()) Require(address->host.size() <= kMaxSocketPathBytes);
  const auto again = ReadAddress(AddressText(*address));
  Require(again.has_value() && again->host == address->host && again->port == address->port);
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
