// The JSON header of a .safetensors file, read by a scanner for exactly its grammar and nothing
// else.
//
// The header is input from strangers, so a general JSON parser is the wrong tool: it must build (or
// at least lex) whatever it is given before anyone can object. Here the grammar itself is the
// guard. At each byte only a few characters may follow, so a header that nests 100,000 brackets is
// refused at the second one, and a name, a number or white space without end is refused at its
// limit.
//
//   header = { entry, ... } white space
//   entry  = "__metadata__" : { string : string, ... }
//          | name : { "dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24] }
//
// Cost: one pass over the header, and memory within kHeaderLimits. Pure functions, thread safe.
// Proven by safetensors_reader_test (Header_*) and tests/fuzz.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {

// What a header may hold. The format itself bounds only its length. The other bounds keep time and
// memory small; the largest published encoders have a few thousand tensors with names of some sixty
// bytes.
struct HeaderLimits {
  uint64_t header_bytes = 100'000'000;  // the format's own bound
  int64_t tensors = 65'536;
  int64_t dimensions = 8;                // of one tensor
  int64_t string_bytes = 1 << 20;        // of one string
  int64_t total_string_bytes = 8 << 20;  // of all strings together
  int64_t white_space_bytes = 1 << 20;   // in the whole header
};
inline constexpr HeaderLimits kHeaderLimits;

struct HeaderTensor {
  std::string name;
  StoredType type = StoredType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // of its bytes, from the start of the data section
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<HeaderTensor> tensors;  // in the order of the header; two may have the same name
  std::map<std::string, std::string> metadata;
};

// INVALID_ARGUMENT says at which byte what is wrong or what was expected.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view json);

// True where `text` is well-formed UTF-8: no surrogates, and no character in more bytes than it
// needs.
bool IsUtf8(std::string_view text);

}  // namespace longspan
