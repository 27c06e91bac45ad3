#include "server/text/token_places.h"

#include <algorithm>

namespace longspan {
namespace {

// Of what two neighbouring windows hold, where the rows of the second one begin.
int64_t Border(const TokenRange& window, const TokenRange& next) {
  return next.begin + std::max<int64_t>(0, window.end - next.begin) / 2;
}

}  // namespace

TokenPlaces::TokenPlaces(const TokenLayout& layout, const BodyRanges& ranges,
                         std::span<const KeptTokens> pieces)
    : pieces_(pieces.size()) {
  for (size_t piece = 0; piece < pieces.size(); ++piece) {
    for (TokenRange body : ranges[piece]) {
      if (piece > 0) body.begin = Border(pieces[piece - 1].body(), body);
      if (piece + 1 < pieces.size()) body.end = Border(body, pieces[piece + 1].body());
      if (body.size() > 0) AddRows(layout, pieces[piece], body, &pieces_[piece]);
    }
  }
}

void TokenPlaces::AddRows(const TokenLayout& layout, const KeptTokens& kept, TokenRange body,
                          std::vector<PieceRows>* piece) {
  const int64_t first = num_rows();
  piece->push_back({.tokens = kept.Map(body), .first_row = first});
  const Tokenization& tokens = layout.tokens;
  ids_.insert(ids_.end(), tokens.ids.begin() + body.begin, tokens.ids.begin() + body.end);
  if (!tokens.bytes.empty()) {
    at_.reserve(ids_.size());
    for (int64_t token = body.begin; token < body.end; ++token) {
      at_.push_back({.byte_begin = static_cast<uint32_t>(tokens.bytes[token].begin),
                     .byte_end = static_cast<uint32_t>(tokens.bytes[token].end),
                     .character_begin = static_cast<uint32_t>(tokens.characters[token].begin),
                     .character_end = static_cast<uint32_t>(tokens.characters[token].end)});
    }
  }
  const bool goes_on =
      !runs_.empty() &&
      runs_.back().first_token + runs_.back().end_row - runs_.back().first_row == body.begin;
  if (goes_on) {
    runs_.back().end_row = num_rows();
  } else {
    runs_.push_back({.first_row = first, .end_row = num_rows(), .first_token = body.begin});
  }
}

int64_t TokenPlaces::bytes() const {
  return static_cast<int64_t>(ids_.capacity() * sizeof(int32_t) +
                              at_.capacity() * sizeof(TokenPlace));
}

// The places of tokens may lie inside each other (byte-level tokens of one character), so the end
// of the last one need not be the last end.
TextRange TokenPlaces::Bytes(int64_t begin, int64_t end) const {
  TextRange range{at_[begin].byte_begin, at_[end - 1].byte_end};
  range.end = std::max(range.begin, range.end);
  return range;
}

TextRange TokenPlaces::Characters(int64_t begin, int64_t end) const {
  TextRange range{at_[begin].character_begin, at_[end - 1].character_end};
  range.end = std::max(range.begin, range.end);
  return range;
}

bool TokenPlaces::InOneRun(int64_t first, int64_t second) const {
  return std::none_of(runs_.begin(), runs_.end(),
                      [&](const Run& run) { return first < run.end_row && run.end_row <= second; });
}

TokenRange TokenPlaces::Tokens(int64_t begin, int64_t end) const {
  const auto run = std::find_if(runs_.begin(), runs_.end(),
                                [begin](const Run& one) { return begin < one.end_row; });
  const int64_t shift = run->first_token - run->first_row;
  return {begin + shift, end + shift};
}

}  // namespace longspan
