#include "client/unanswered.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace longspan {

void Unanswered::Begin() {
  absl::MutexLock lock(&mu_);
  sent_to_ = 0;
  broken_ = false;
}

std::optional<v1::Input> Unanswered::ToSend() {
  const auto numbered = [](const auto& entry) {
    v1::Input input = entry.second;
    input.set_id(absl::StrCat(entry.first));
    return input;
  };
  {
    absl::MutexLock lock(&mu_);
    const auto again = inputs_.upper_bound(sent_to_);
    if (!broken_ && again != inputs_.end()) {
      sent_to_ = again->first;
      return numbered(*again);
    }
    const auto room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return broken_ || (inputs_.size() < most_ && bytes_ < most_bytes_);
    };
    mu_.Await(absl::Condition(&room));
    if (broken_ || at_end_) return std::nullopt;
  }
  std::optional<v1::Input> input = next_();  // may take its time
  absl::MutexLock lock(&mu_);
  if (!input.has_value()) {
    at_end_ = true;
    return std::nullopt;
  }
  bytes_ += input->ByteSizeLong();
  const auto kept = inputs_.emplace(++numbers_, *std::move(input)).first;
  // A stream that broke meanwhile sends it as one of those before.
  if (broken_) return std::nullopt;
  sent_to_ = kept->first;
  return numbered(*kept);
}

void Unanswered::Break() {
  absl::MutexLock lock(&mu_);
  broken_ = true;
}

bool Unanswered::Answer(v1::EncodeStreamResponse* response) {
  uint64_t number = 0;
  absl::MutexLock lock(&mu_);
  const auto found =
      absl::SimpleAtoi(response->encoding().id(), &number) ? inputs_.find(number) : inputs_.end();
  if (found == inputs_.end()) return false;
  response->mutable_encoding()->set_id(found->second.id());
  bytes_ -= found->second.ByteSizeLong();
  inputs_.erase(found);
  return true;
}

bool Unanswered::Done() const {
  absl::MutexLock lock(&mu_);
  return at_end_ && inputs_.empty();
}

}  // namespace longspan
