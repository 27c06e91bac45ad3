#include "server/text/words.h"

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/text/utf8.h"

namespace longspan {

struct WordReader::Rules {
  std::unique_ptr<icu::BreakIterator> words;
  const icu::Normalizer2* fold = nullptr;  // of ICU, lives for ever
};

namespace {

absl::Status Missing(const char* what, UErrorCode code) {
  return absl::InternalError(absl::StrCat("ICU cannot read ", what, ": ", u_errorName(code),
                                          "; the data of libicu72 must be complete"));
}

bool IsAscii(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](unsigned char c) { return c < 128; });
}

}  // namespace

bool HasLetterOrDigit(std::string_view text) {
  for (Utf8Cursor at(text); !at.done(); at.Next()) {
    if (u_isalnum(static_cast<UChar32>(at.Peek())) != 0) return true;
  }
  return false;
}

WordReader::WordReader(std::unique_ptr<Rules> rules) : rules_(std::move(rules)) {}
WordReader::WordReader(WordReader&&) noexcept = default;
WordReader& WordReader::operator=(WordReader&&) noexcept = default;
WordReader::~WordReader() = default;

absl::StatusOr<WordReader> WordReader::Create() {
  UErrorCode code = U_ZERO_ERROR;
  std::unique_ptr<icu::BreakIterator> words(
      icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), code));
  if (U_FAILURE(code) || words == nullptr) return Missing("its rules of words", code);
  const icu::Normalizer2* fold = icu::Normalizer2::getNFKCCasefoldInstance(code);
  if (U_FAILURE(code) || fold == nullptr) return Missing("how letters are folded", code);
  return WordReader(std::make_unique<Rules>(Rules{std::move(words), fold}));
}

absl::Status WordReader::Read(std::string_view text, OnWord on_word) {
  UErrorCode code = U_ZERO_ERROR;
  UText units = UTEXT_INITIALIZER;
  utext_openUTF8(&units, text.data(), static_cast<int64_t>(text.size()), &code);
  icu::BreakIterator& words = *rules_->words;
  words.setText(&units, code);
  int32_t begin = words.first();
  bool goes_on = true;
  for (int32_t end = words.next(); goes_on && U_SUCCESS(code) && end != icu::BreakIterator::DONE;
       begin = end, end = words.next()) {
    if (words.getRuleStatus() < UBRK_WORD_NUMBER || end - begin > kLongestWordBytes) continue;
    const std::string_view word = text.substr(begin, end - begin);
    folded_.assign(word);
    if (IsAscii(word)) {
      absl::AsciiStrToLower(&folded_);
    } else {
      folded_.clear();
      icu::StringByteSink<std::string> sink(&folded_);
      rules_->fold->normalizeUTF8(
          0, icu::StringPiece(word.data(), static_cast<int32_t>(word.size())), sink, nullptr, code);
    }
    if (U_SUCCESS(code)) goes_on = on_word(folded_, begin, end);
  }
  utext_close(&units);
  if (U_SUCCESS(code)) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("ICU cannot read the words: ", u_errorName(code)));
}

}  // namespace longspan
