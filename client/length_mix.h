// LengthMix: how long the texts of a load are, in tokens: a mixture of log-normal lengths (most
// near the median, a tail that is long but not endless). Named profiles, or one's own:
//
//   [SHARE%:]MEDIAN[~SIGMA][/MIN-MAX], ...     128   74~0.8/8-250   95%:74~0.8/8-250,5%:32768
//
// SIGMA is the standard deviation of the logarithm (0 = every text has MEDIAN tokens); shares must
// sum to 100 %. Plain value; const methods are thread safe.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace longspan {

class LengthMix {
 public:
  struct Part {
    double share = 1;
    double median = 0;
    double sigma = 0;
    int64_t min = 1, max = INT64_MAX;  // lengths outside are moved to the nearer end
  };

  // chat | rag | contracts | books; INVALID_ARGUMENT for other names.
  static absl::StatusOr<LengthMix> OfProfile(const std::string& name);
  // The form above; INVALID_ARGUMENT says which part is wrong.
  static absl::StatusOr<LengthMix> Parse(const std::string& text);

  // Tokens of the next text: at least 1, at most max_tokens (0 = no bound).
  int64_t Draw(int64_t max_tokens, std::mt19937_64* random) const;

  // Mean of many draws (a million, always the same).
  double Mean(int64_t max_tokens) const;

  const std::vector<Part>& parts() const { return parts_; }

 private:
  explicit LengthMix(std::vector<Part> parts) : parts_(std::move(parts)) {}
  std::vector<Part> parts_;
};

}  // namespace longspan
