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

absl::Status BadPart(absl::string_view part) {
  return absl::InvalidArgumentError(absl::StrCat(
      "lengths: ", part,
      " is not [SHARE%:]MEDIAN[~SIGMA][/MIN-MAX]; for example 128, 74~0.8/8-250 or 5%:32768"));
}

// The text behind the last `separator`, cut off from `*rest`; empty where there is none.
absl::string_view CutTail(char separator, absl::string_view* rest) {
  const size_t at = rest->rfind(separator);
  if (at == absl::string_view::npos) return {};
  const absl::string_view tail = rest->substr(at + 1);
  *rest = rest->substr(0, at);
  return tail;
}

absl::StatusOr<LengthMix::Part> ParsePart(absl::string_view text) {
  LengthMix::Part part;
  absl::string_view rest = text;
  if (const size_t colon = rest.find(':'); colon != absl::string_view::npos) {
    absl::string_view share = rest.substr(0, colon);
    rest.remove_prefix(colon + 1);
    if (!absl::ConsumeSuffix(&share, "%") || !absl::SimpleAtod(share, &part.share))
      return BadPart(text);
    part.share /= 100;
  }
  if (rest.find('/') != absl::string_view::npos) {
    const std::vector<absl::string_view> range = absl::StrSplit(CutTail('/', &rest), '-');
    if (range.size() != 2 || !absl::SimpleAtoi(range[0], &part.min) ||
        !absl::SimpleAtoi(range[1], &part.max))
      return BadPart(text);
  }
  if (rest.find('~') != absl::string_view::npos &&
      !absl::SimpleAtod(CutTail('~', &rest), &part.sigma))
    return BadPart(text);
  if (!absl::SimpleAtod(rest, &part.median)) return BadPart(text);
  const bool sane = part.share > 0 && part.share <= 1 && part.median >= 1 && part.median <= 1e9 &&
                    part.sigma >= 0 && part.sigma <= 10 && part.min >= 1 && part.min <= part.max;
  if (!sane) return BadPart(text);
  return part;
}

}  // namespace

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
  std::vector<Part> parts;
  double shares = 0;
  for (const absl::string_view piece : absl::StrSplit(text, ',')) {
    absl::StatusOr<Part> part = ParsePart(piece);
    if (!part.ok()) return part.status();
    shares += part->share;
    parts.push_back(*part);
  }
  if (std::abs(shares - 1) > 1e-6)
    return absl::InvalidArgumentError(
        absl::StrCat("lengths: the shares sum to ", shares * 100, " %; they must sum to 100 %"));
  return LengthMix(std::move(parts));
}

int64_t LengthMix::Draw(int64_t max_tokens, std::mt19937_64* random) const {
  double pick = std::uniform_real_distribution<double>(0, 1)(*random);
  const Part* part = &parts_.back();
  for (const Part& candidate : parts_) {
    if (pick < candidate.share) {
      part = &candidate;
      break;
    }
    pick -= candidate.share;
  }
  double length = part->median;
  if (part->sigma > 0)
    length = std::lognormal_distribution<double>(std::log(part->median), part->sigma)(*random);
  length = std::clamp(length, static_cast<double>(part->min),
                      std::min(static_cast<double>(part->max), 1e12));
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
