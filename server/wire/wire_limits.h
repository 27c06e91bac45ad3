// WireLimits: how often a request may repeat what it may repeat, checked on its bytes before
// anything is built from them. Two bytes on the wire are enough for an empty input or span, which
// takes some 60 to 200 bytes in memory: a request of 4 MB would become 1 GB before a decoder could
// count its inputs.
//
// It also refuses what the parser would drop without a word: both members of a oneof (a text and
// token ids), and a text that is given twice. Sub-messages are merged, which loses nothing, and of
// numbers the last one wins, as protobuf has it.
//
// The walk follows the descriptors. Every repeated field of a request has a row in the table of
// limits; one without a row is refused whatever its count, and wire_limits_test walks the contract
// for fields without a row. Fields that nobody knows are skipped, as protobuf does, but counted
// too, because the parser keeps them.
//
//   CheckWireLimits(bytes, EncodeRequest, limits)
//     INVALID_ARGUMENT "inputs[3].spans are 4000000; allowed: at most 65536"
//     INVALID_ARGUMENT "inputs[3] has text and token_ids; allowed: one of them"
//
// Cost: one pass over the tags; texts are skipped, packed numbers are counted. Nothing is allocated
// but for an error. Bytes that are no message at all are refused too, so that the parser sees
// nothing that the walk has not seen.
//
// Free functions without state: thread safe. Proven by wire_limits_test.
#pragma once

#include <google/protobuf/descriptor.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/wire/input_decoder.h"

namespace longspan {

struct WireLimit {
  std::string_view field;  // full name: "longspan.v1.Input.spans"
  int64_t max = 0;         // in one message around it
  std::string_view verb;   // of the error: "inputs has 9 texts", "inputs[0].spans are 9"
  std::string_view noun;
  int64_t min = 0;               // named in the error only
  std::string_view reason = {};  // of the error (core/error_details.h); empty = none
};
using WireLimits = std::vector<WireLimit>;

// Of all messages inside a request together, whatever their fields: 16 times the spans of one text.
inline constexpr int64_t kMaxMessagesPerRequest = 16 * 65536;
// Of fields of a request that this server does not know.
inline constexpr int64_t kMaxUnknownFields = 1024;

// The limits of all requests of longspan.v1 and tei.v1.
WireLimits LimitsOfRequests(const DecodingContext& context);

// INVALID_ARGUMENT where the message of type `type` in `bytes` passes a limit or gives twice what
// counts once, with the field, or where it is malformed.
absl::Status CheckWireLimits(const grpc::ByteBuffer& bytes,
                             const google::protobuf::Descriptor& type, const WireLimits& limits);

}  // namespace longspan
