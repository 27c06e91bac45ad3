// LengthMix: how long the texts of a load are, in tokens.
//
// It is a mixture of log-normal distributions. In each, most lengths lie near the median, and a
// long tail of longer ones is rare. A mix is one of the named profiles, or it is written as text:
//
//   [SHARE%:]MEDIAN[~SIGMA][/MIN-MAX], ...
//
//   128                          every text has 128 tokens
//   74~0.8/8-250                 median 74, SIGMA 0.8, between 8 and 250 tokens
//   95%:74~0.8/8-250,5%:32768    the same for 95 % of the texts; the others have 32,768 tokens
//
// SIGMA is the standard deviation of the logarithm of the length; without it every text has MEDIAN
// tokens. The shares must sum to 100 %.
//
// A plain value. Thread safety: const methods may be called from any thread.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace longspan {

class LengthMix {
 public:
  // One distribution of the mixture.
  struct Component {
    double share = 1;   // of all texts, 0 to 1
    double median = 0;  // tokens
    double sigma = 0;   // of the natural logarithm of the length
    // Bounds in tokens; a length outside of them becomes the nearer bound.
    int64_t min = 1;
    int64_t max = INT64_MAX;
  };

  // chat | rag | contracts | books; INVALID_ARGUMENT for other names.
  static absl::StatusOr<LengthMix> OfProfile(const std::string& name);
  // Reads a mix in the form that the class comment shows. INVALID_ARGUMENT says which component is
  // wrong.
  static absl::StatusOr<LengthMix> Parse(const std::string& text);

  // The length of the next text in tokens: at least 1 and at most max_tokens, where 0 = no bound.
  int64_t Draw(int64_t max_tokens, std::mt19937_64* random) const;

  // The mean length under the same bound. It is that of a million draws from a fixed seed, so that
  // the same mix always has the same mean.
  double Mean(int64_t max_tokens) const;

  const std::vector<Component>& components() const { return components_; }

 private:
  explicit LengthMix(std::vector<Component> components) : components_(std::move(components)) {}
  std::vector<Component> components_;
};

}  // namespace longspan
