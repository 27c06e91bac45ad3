#include "server/search/query_rows.h"

#include <algorithm>
#include <string_view>

#include "core/error_details.h"
#include "server/text/words.h"

namespace longspan {

void QueryRows::Want(EncodeInput* input) {
  own_ = std::make_shared<TextRows>(width_, TextRows::kFloat32);
  TextRows::Want(own_, input);
  if (!all_tokens()) return;
  all_ = std::make_shared<AllRows>();
  input->piece_sink = [rows = all_, width = width_](int32_t, int64_t first, int64_t count,
                                                    const float* values) {
    std::copy_n(values, count * width, rows->values.begin() + first * width);
    std::fill_n(rows->came.begin() + first, count, true);
  };
}

absl::Status QueryRows::Prepare(const EncodeInput& input, const PreparedText& prepared) {
  const TokenPlaces& places = *prepared.token_places;
  if (places.num_rows() == 0)
    return InvalidField(input.field, "has no token to search for; allowed: at least one");
  own_->SetPlaces(prepared.token_places);
  if (all_tokens()) {
    // A question is never cut into windows: it is one piece.
    ids_ = prepared.pieces.front().token_ids;
    all_->values.resize(ids_.size() * width_);
    all_->came.assign(ids_.size(), false);
    is_word_.assign(ids_.size(), true);
    places_.resize(ids_.size());
    for (const TokenPlaces::PieceRows& part : places.rows_of(0)) {
      std::copy_n(places.places().begin() + part.first_row, part.tokens.size(),
                  places_.begin() + part.tokens.begin);
    }
    return absl::OkStatus();
  }
  ids_.assign(places.ids().begin(), places.ids().end());
  places_.assign(places.places().begin(), places.places().end());
  is_word_.reserve(places.num_rows());
  const std::string_view text = input.text;
  for (const TokenPlace& at : places.places())
    is_word_.push_back(HasLetterOrDigit(text.substr(at.byte_begin, at.byte_end - at.byte_begin)));
  return absl::OkStatus();
}

LateQuestion QueryRows::Take() {
  if (!all_tokens()) {
    LateQuestion question(own_->values().data(), num_tokens(), width_);
    own_->Free();
    return question;
  }
  LateQuestion question(all_->values.data(), num_tokens(), width_);
  is_word_ = all_->came;  // a row that never came is similar to nothing, and counts nothing
  *all_ = {};
  return question;
}

std::vector<float> QueryRows::Weights(const TokenRarity& rarity) const {
  return weights_ == QueryWeights::kIdf ? rarity.Weights(is_word_) : EqualWeights(is_word_);
}

}  // namespace longspan
