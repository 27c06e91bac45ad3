#include "core/search/kept_places.h"

#include <algorithm>
#include <optional>

#include "core/search/kept_text.h"

namespace longspan {
namespace {

void AppendNumber(uint32_t number, std::vector<std::byte>* out) {
  for (; number >= 0x80; number >>= 7) out->push_back(static_cast<std::byte>(number | 0x80));
  out->push_back(static_cast<std::byte>(number));
}

// Takes a number from the front; nullopt where the bytes end first, or it has over 32 bits.
std::optional<uint32_t> TakeNumber(std::span<const std::byte>* bytes) {
  uint64_t number = 0;
  for (int shift = 0; shift < 35 && !bytes->empty(); shift += 7) {
    const auto byte = static_cast<uint64_t>(bytes->front());
    *bytes = bytes->subspan(1);
    number |= (byte & 0x7f) << shift;
    if (byte < 0x80)
      return number <= UINT32_MAX ? std::optional(static_cast<uint32_t>(number)) : std::nullopt;
  }
  return std::nullopt;
}

// The next token of a cell, behind `before`.
std::optional<TokenPlace> TakePlace(const TokenPlace& before, std::span<const std::byte>* bytes) {
  const auto byte_step = TakeNumber(bytes), byte_length = TakeNumber(bytes);
  const auto character_step = TakeNumber(bytes), character_length = TakeNumber(bytes);
  if (!character_length.has_value() || !character_step.has_value() || !byte_length.has_value() ||
      !byte_step.has_value())
    return std::nullopt;
  TokenPlace place{.byte_begin = before.byte_begin + *byte_step,
                   .character_begin = before.character_begin + *character_step};
  place.byte_end = place.byte_begin + *byte_length;
  place.character_end = place.character_begin + *character_length;
  return place;
}

}  // namespace

PackedPlaces PackPlaces(std::span<const TokenPlace> places, std::span<const CellRun> runs,
                        int64_t cell_tokens) {
  PackedPlaces packed;
  packed.offsets.push_back(0);
  for (const CellRun& run : runs) {
    for (int64_t first = run.first_row; first < run.end_row; first += cell_tokens) {
      TokenPlace before;
      for (int64_t row = first; row < std::min(first + cell_tokens, run.end_row); ++row) {
        const TokenPlace& place = places[row];
        AppendNumber(place.byte_begin - before.byte_begin, &packed.bytes);
        AppendNumber(place.byte_end - place.byte_begin, &packed.bytes);
        AppendNumber(place.character_begin - before.character_begin, &packed.bytes);
        AppendNumber(place.character_end - place.character_begin, &packed.bytes);
        before = place;
      }
      packed.offsets.push_back(static_cast<uint32_t>(packed.bytes.size()));
    }
  }
  return packed;
}

bool PlacesAreWhole(std::span<const uint32_t> offsets, std::span<const std::byte> bytes,
                    std::span<const CellRun> runs, int64_t cell_tokens) {
  if (offsets.front() != 0 || offsets.back() != bytes.size()) return false;
  size_t cell = 0;
  for (const CellRun& run : runs) {
    for (int64_t first = run.first_row; first < run.end_row; first += cell_tokens, ++cell) {
      if (offsets[cell + 1] < offsets[cell] || offsets[cell + 1] > bytes.size()) return false;
      auto rest = bytes.subspan(offsets[cell], offsets[cell + 1] - offsets[cell]);
      for (int64_t row = first; row < std::min(first + cell_tokens, run.end_row); ++row) {
        if (!TakePlace({}, &rest).has_value()) return false;
      }
      if (!rest.empty()) return false;
    }
  }
  return true;
}

void AppendPlaces(std::span<const std::byte> bytes, int64_t tokens, std::vector<TokenPlace>* out) {
  TokenPlace before;
  for (int64_t i = 0; i < tokens; ++i) {
    before = TakePlace(before, &bytes).value_or(before);
    out->push_back(before);
  }
}

}  // namespace longspan
