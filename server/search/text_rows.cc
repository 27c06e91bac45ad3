#include "server/search/text_rows.h"

#include <algorithm>

namespace longspan {

void TextRows::Want(const std::shared_ptr<TextRows>& rows, EncodeInput* input) {
  input->options.document_vector = false;
  input->options.normalize = false;
  input->wants_token_places = true;
  input->piece_sink = [rows](int32_t piece, int64_t first, int64_t count, const float* values) {
    rows->Take(piece, first, count, values);
  };
}

int64_t TextRows::BytesOf(int64_t rows, int64_t width, Kind kind) {
  constexpr int64_t kFloat = sizeof(float);
  return rows * (kind == kInt8 ? (width + 3) / 4 * 4 + kFloat : width * kFloat);
}

void TextRows::MakeRoom() {
  if (kind_ == kInt8) {
    matrix_.Resize(places_->num_rows());
  } else {
    values_.resize(places_->num_rows() * width_);
  }
}

void TextRows::Set(int64_t row, const float* values, int64_t count) {
  if (kind_ == kInt8) {
    matrix_.Set(row, values, count);
  } else {
    std::copy_n(values, count * width_, values_.begin() + row * width_);
  }
}

void TextRows::Take(int32_t piece, int64_t first, int64_t count, const float* values) {
  std::call_once(room_, [this] { MakeRoom(); });
  for (const TokenPlaces::PieceRows& part : places_->rows_of(piece)) {
    const int64_t begin = std::max(first, part.tokens.begin);
    const int64_t end = std::min(first + count, part.tokens.end);
    if (begin >= end) continue;
    Set(part.first_row + begin - part.tokens.begin, values + (begin - first) * width_, end - begin);
  }
}

void TextRows::Free() {
  matrix_ = TokenMatrix(width_);
  values_ = {};
}

}  // namespace longspan
