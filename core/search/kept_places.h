// Packed places: where each token of a text stands, cell by cell, in some four bytes a token. Of
// each token its begin and its length, in bytes and in characters, as variable-length numbers
// (LEB128); the begin is counted from that of the token before, and in the first of a cell from 0,
// so that a cell can be read alone.
//
// Free functions without state: thread safe. Proven by kept_text_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/token_place.h"

namespace longspan {

struct CellRun;

struct PackedPlaces {
  std::vector<uint32_t> offsets;  // [cells + 1] into `bytes`
  std::vector<std::byte> bytes;
};

// Of a token: four numbers of up to five bytes.
inline constexpr int64_t kMostPlaceBytes = 20;

// `places`: of all rows of the runs.
PackedPlaces PackPlaces(std::span<const TokenPlace> places, std::span<const CellRun> runs,
                        int64_t cell_tokens);
// Whether each cell ends where the next one begins, with a whole number.
bool PlacesAreWhole(std::span<const uint32_t> offsets, std::span<const std::byte> bytes,
                    std::span<const CellRun> runs, int64_t cell_tokens);
// Appends the places of the first `tokens` tokens of a cell, whose bytes begin with `bytes`.
void AppendPlaces(std::span<const std::byte> bytes, int64_t tokens, std::vector<TokenPlace>* out);

}  // namespace longspan
