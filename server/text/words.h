// Words of a text for lexical search: what UAX #29 calls a word (ICU, all scripts) and holds a
// letter or a digit, folded so that forms that read alike are alike (NFKC_Casefold: "Straße" and
// "STRASSE", "ﬁle" and "file"). Ideographs are words of their own, or of several as ICU's
// dictionaries divide them.
//
//   WordReader::Create() -> Read("The Court's ruling", ...)   "the" [0, 3), "court's" [4, 11), ...
//
// Thread safety: none; a reader for each thread. Texts must be UTF-8. Proven by words_test.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace longspan {

// A word of at most so many bytes counts; longer ones are data, such as base64.
inline constexpr int64_t kLongestWordBytes = 128;

// Whether any character is a letter or a digit.
bool HasLetterOrDigit(std::string_view text);

class WordReader {
 public:
  // INTERNAL where ICU's data is missing.
  static absl::StatusOr<WordReader> Create();
  WordReader(WordReader&&) noexcept;
  WordReader& operator=(WordReader&&) noexcept;
  ~WordReader();

  // Reads until the end, or until `on_word` is false. `folded` lives for the call. The places are
  // bytes of `text`, which has less than 2 GiB. INTERNAL where ICU cannot read on, such as for
  // lack of memory.
  using OnWord = absl::FunctionRef<bool(std::string_view folded, int64_t begin, int64_t end)>;
  absl::Status Read(std::string_view text, OnWord on_word);

 private:
  struct Rules;  // of ICU
  explicit WordReader(std::unique_ptr<Rules> rules);

  std::unique_ptr<Rules> rules_;
  std::string folded_;
};

}  // namespace longspan
