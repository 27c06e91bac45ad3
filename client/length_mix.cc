#include "client/length_mix.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace longspan {
namespace {

absl::Status BadComponent(absl::string_view component) {
  return absl::InvalidArgumentError(absl::StrCat(
      "lengths: ", component,
      " is not [SHARE%:]MEDIAN[~SIGMA][/MIN-MAX]; for example 128, 74~0.8/8-250 or 5%:32768"));
}

// Cuts `*rest` at its last `separator` and returns what was behind it. Where there is no separator,
// the result is empty and `*rest` stays as it is.
absl::string_view CutTail(char separator, absl::string_view* rest) {
  const size_t at = rest->rfind(separator);
  if (at == absl::string_view::npos) return {};
  const absl::string_view tail = rest->substr(at + 1);
  *rest = rest->substr(0, at);
  return tail;
}

absl::StatusOr<LengthMix::Component> ParseComponent(absl::string_view text) {
  LengthMix::Component component;
  absl::string_view rest = text;
  if (const size_t colon = rest.find(':'); colon != absl::string_view::npos) {
    absl::string_view share = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
    if (!absl::ConsumeSuffix(&share, "%") || !absl::SimpleAtod(share, &component.share))
      return BadComponent(text);
    component.share /= 100;
  }
  if (rest.find('/') != absl::string_view::npos) {
    const std::vector<absl::string_view> range = absl::StrSplit(CutTail('/', &rest), '-');
    if (range.size() != 2 || !absl::SimpleAtoi(range[0], &component.min) ||
        !absl::SimpleAtoi(range[1], &component.max))
      return BadComponent(text);
  }
  if (rest.find('~') != absl::string_view::npos &&
      !absl::SimpleAtod(CutTail('~', &rest), &component.sigma))
    return BadComponent(text);
  if (!absl::SimpleAtod(rest, &component.median)) return BadComponent(text);
  const bool sane = component.share > 0 && component.share <= 1 && component.median >= 1 &&
                    component.median <= 1e9 && component.sigma >= 0 && component.sigma <= 10 &&
                    component.min >= 1 && component.min <= component.max;
  if (!sane) return BadComponent(text);
  return component;
}

}  // namespace

// Round figures for four uses: a message of a few sentences; a passage, and now and then a whole
// article; a contract; a book.
absl::StatusOr<LengthMix> LengthMix::OfProfile(const std::string& name) {
  if (name == "chat") return LengthMix({{.median = 40, .sigma = 0.8}});
  if (name == "rag")
    return LengthMix({{.share = 0.95, .median = 180, .sigma = 0.6},
                      {.share = 0.05, .median = 3000, .sigma = 0.6}});
  if (name == "contracts") return LengthMix({{.median = 6000, .sigma = 0.8}});
  if (name == "books") return LengthMix({{.median = 40000, .sigma = 0.7}});
  return absl::InvalidArgumentError(
      absl::StrCat("profile ", name, " is unknown; allowed: chat, rag, contracts, books"));
}

absl::StatusOr<LengthMix> LengthMix::Parse(const std::string& text) {
  std::vector<Component> components;
  double shares = 0;
  for (const absl::string_view one : absl::StrSplit(text, ',')) {
    absl::StatusOr<Component> component = ParseComponent(one);
    if (!component.ok()) return component.status();
    shares += component->share;
    components.push_back(*component);
  }
  if (std::abs(shares - 1) > 1e-6)
    return absl::InvalidArgumentError(
        absl::StrCat("lengths: the shares sum to ", shares * 100, " %; they must sum to 100 %"));
  return LengthMix(std::move(components));
}

int64_t LengthMix::Draw(int64_t max_tokens, std::mt19937_64* random) const {
  double pick = std::uniform_real_distribution<double>(0, 1)(*random);
  const Component* component = &components_.back();
  for (const Component& candidate : components_) {
    if (pick < candidate.share) {
      component = &candidate;
      break;
    }
    pick -= candidate.share;
  }
  double length = component->median;
  if (component->sigma > 0)
    length =
        std::lognormal_distribution<double>(std::log(component->median), component->sigma)(*random);
  length = std::clamp(length, static_cast<double>(component->min),
                      std::min(static_cast<double>(component->max), 1e12));
  return std::clamp<int64_t>(static_cast<int64_t>(length), 1,
                             max_tokens > 0 ? max_tokens : INT64_MAX);
}

double LengthMix::Mean(int64_t max_tokens) const {
  constexpr int kDraws = 1'000'000;
  std::mt19937_64 random(1);
  double sum = 0;
  for (int i = 0; i < kDraws; ++i) sum += static_cast<double>(Draw(max_tokens, &random));
  return sum / kDraws;
}

}  // namespace longspan
