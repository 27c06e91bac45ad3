#include "server/text/sentences.h"

#include <unicode/brkiter.h>
#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/utf16.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/text/abbreviations.h"
#include "server/text/sentence_block.h"
#include "server/text/utf8.h"

namespace longspan {
namespace {

// ICU's rules look on behind a full stop: from there on a block's end may change what they say.
constexpr int32_t kLookahead = 1024;
// The longest word that is compared with abbreviations, in units of UTF-16.
constexpr int32_t kLongestWord = 24;
constexpr size_t kLongestListNumber = 4;  // 1, 1012, iv, 1.2
constexpr size_t kLongestOrdinal = 2;     // 3. Oktober; 1990. is a year

struct Rules {
  Abbreviations words;
  std::unique_ptr<icu::BreakIterator> iterator;  // copied by each splitter
};

absl::StatusOr<const Rules*> Load() {
  auto words = Abbreviations::Load();
  if (!words.ok()) return words.status();
  UErrorCode code = U_ZERO_ERROR;
  std::unique_ptr<icu::BreakIterator> iterator(
      icu::BreakIterator::createSentenceInstance(icu::Locale::getRoot(), code));
  if (U_FAILURE(code) || iterator == nullptr) {
    return absl::InternalError(
        absl::StrCat("ICU cannot read its rules of sentences: ", u_errorName(code),
                     "; the data of libicu72 must be complete"));
  }
  return new Rules{*std::move(words), std::move(iterator)};
}

// Lives as long as the process, so that threads may end after main does.
const absl::StatusOr<const Rules*>& LoadedRules() {
  static const auto* const loaded = new absl::StatusOr<const Rules*>(Load());
  return *loaded;
}

bool IsBlankUnit(char16_t c) { return c == u' '; }
bool IsLetterOrMark(UChar32 c) {
  return u_isalpha(c) || (U_GET_GC_MASK(c) & (U_GC_MN_MASK | U_GC_MC_MASK)) != 0;
}
bool InWord(char16_t c) {
  return IsLetterOrMark(c) || u_isdigit(c) || c == u'.' || c == u'-' || c == u'\'' || c == 0x2019 ||
         c == u'º' || c == u'ª' || c == u'°' || c == u'/';
}
bool IsDigits(std::u16string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char16_t c) { return u_isdigit(c); });
}
// One letter, with its marks, of a script that abbreviates by letters: not of Chinese or Japanese.
bool IsInitial(std::u16string_view word) {
  if (word.empty()) return false;
  const bool letter = u_hasBinaryProperty(word[0], UCHAR_CASED) ||
                      (word[0] >= 0x590 && word[0] < 0x700 && u_isalpha(word[0]));
  return letter && std::none_of(word.begin() + 1, word.end(),
                                [](char16_t c) { return u_isalpha(c) || u_isdigit(c); });
}
// "U.S", "p.m", "т.е": letters, each with a full stop but the last.
bool IsDotted(std::u16string_view word) {
  if (word.find(u'.') == std::u16string_view::npos) return false;
  for (size_t begin = 0; begin <= word.size();) {
    const size_t end = std::min(word.find(u'.', begin), word.size());
    if (!IsInitial(word.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}
bool IsRoman(std::u16string_view word) {
  return word.find_first_not_of(u"IVX") == std::u16string_view::npos ||
         word.find_first_not_of(u"ivx") == std::u16string_view::npos;
}
// 1, 12, iv, a, 1.2
bool IsListNumber(std::u16string_view word) {
  if (word.empty() || word.size() > kLongestListNumber) return false;
  const bool numbers = word.find_first_not_of(u"0123456789.") == std::u16string_view::npos;
  return numbers || IsInitial(word) || IsRoman(word);
}

// What stands around a place where ICU ends a sentence.
struct Surroundings {
  char16_t stop = 0;
  bool ellipsis = false;             // several full stops
  bool closed = false;               // quotes or brackets close behind the stop
  bool first_word = false;           // `word` is the first of the sentence
  std::u16string_view word;          // before the stop, without it
  std::u16string_view before;        // the word before that one, with its own stop
  std::u16string_view next;          // the word behind, where one begins there
  bool next_is_abbreviated = false;  // and a full stop follows it
};

class BlockReader {
 public:
  BlockReader(std::u16string_view units, int32_t sentence, int32_t at, bool continued)
      : units_(units), sentence_(sentence), at_(at), continued_(continued) {}

  Surroundings Read() const {
    Surroundings out;
    int32_t end = at_;
    while (end > sentence_ && IsBlankUnit(units_[end - 1])) --end;
    while (end > sentence_ && !IsStop(units_[end - 1])) {
      --end;
      out.closed = true;
    }
    if (end == sentence_) return out;
    out.stop = units_[end - 1];
    ReadWord(end - 1, &out);
    ReadNext(&out);
    return out;
  }

 private:
  // The word that ends at `end`, in [sentence_, end). Longer ones are none.
  std::u16string_view WordBefore(int32_t end) const {
    int32_t begin = end;
    while (begin > sentence_ && end - begin <= kLongestWord && InWord(units_[begin - 1])) --begin;
    if (end - begin > kLongestWord) return {};
    while (begin < end && !IsLetterOrMark(units_[begin]) && !u_isdigit(units_[begin])) ++begin;
    return units_.substr(begin, end - begin);
  }

  void ReadWord(int32_t end, Surroundings* out) const {
    out->ellipsis = end > sentence_ && IsStop(units_[end - 1]);
    if (out->ellipsis) return;
    out->word = WordBefore(end);
    int32_t at = end - static_cast<int32_t>(out->word.size());
    const int32_t first = at;
    // In "b=c." the c is no word.
    if (at > sentence_ && !MayPrecedeWord(units_[at - 1])) out->word = {};
    const int32_t low = std::max(sentence_, at - kLongestWord);
    while (at > low && !InWord(units_[at - 1]) && !IsStop(units_[at - 1])) --at;
    out->before = WordBefore(at);
    out->first_word = !continued_ && IsStart(first);
  }

  static bool MayPrecedeWord(char16_t c) {
    return IsBlankUnit(c) || IsStop(c) || InWord(c) || u_ispunct(c) || c == u'~' || c == u'`';
  }

  // Whether nothing but marks stands between the sentence's begin and `at`.
  bool IsStart(int32_t at) const {
    for (int32_t steps = 0; at > sentence_; --at, ++steps)
      if (u_isalnum(units_[at - 1]) || IsStop(units_[at - 1]) || steps > kLongestWord) return false;
    return true;
  }

  void ReadNext(Surroundings* out) const {
    const auto size = static_cast<int32_t>(units_.size());
    const int32_t last = std::min(size, at_ + kLongestWord);
    int32_t begin = at_;
    while (begin < last && !u_isalnum(units_[begin]) && !U16_IS_SURROGATE(units_[begin])) ++begin;
    int32_t end = begin;
    while (end < size && end - begin < kLongestWord &&
           (IsLetterOrMark(units_[end]) || u_isdigit(units_[end])))
      ++end;
    out->next = units_.substr(begin, end - begin);
    out->next_is_abbreviated = end < size && units_[end] == u'.';
  }

  const std::u16string_view units_;
  const int32_t sentence_, at_;
  const bool continued_;
};

// Whether a sentence ends where ICU says that one may.
class EndRules {
 public:
  explicit EndRules(const Abbreviations& words) : words_(words) {}

  bool Ends(const Surroundings& at) const {
    if (at.stop == 0) return true;  // ICU's reason is another one
    if (!at.next.empty() && u_islower(at.next[0])) return false;
    if (at.stop != u'.' || at.ellipsis || at.word.empty()) return true;
    if (at.first_word && IsListNumber(at.word)) return false;  // "1. First", "1.) First"
    if (at.closed) return true;
    if (IsDigits(at.word)) return !IsOrdinal(at);
    return !IsAbbreviated(at);
  }

 private:
  bool IsOrdinal(const Surroundings& at) const {
    if (at.word.size() > kLongestOrdinal) return false;
    if (words_.FollowsOrdinals(at.next)) return true;
    // 3. 10. 1990
    return IsDigits(at.next) &&
           (at.next_is_abbreviated || (!at.before.empty() && at.before.back() == u'.'));
  }

  bool IsAbbreviated(const Surroundings& at) const {
    const std::u16string_view word = LastPart(at.word);
    if (words_.NeverEnds(at.word) || words_.NeverEnds(word)) return true;
    // "z. B." is "z.B."
    if (IsInitial(word) && !at.before.empty() && at.before.back() == u'.' &&
        words_.NeverEnds(std::u16string(at.before) + std::u16string(word)))
      return true;
    if (!at.next.empty() && u_isdigit(at.next[0]) && words_.StandsBeforeNumbers(word)) return true;
    // "So am I. Mary too.": the English pronoun; in "Albert I. Jones" it is an initial.
    if (word == u"I" && !at.before.empty() && u_islower(at.before[0])) return false;
    if (words_.MostlyEnds(at.word)) return !at.next.empty() && u_isdigit(at.next[0]);
    const bool abbreviation = IsInitial(word) || IsDotted(at.word) ||
                              words_.IsAbbreviation(at.word) || words_.IsAbbreviation(word);
    if (!abbreviation) return false;
    if (at.next.empty()) return false;
    return at.next_is_abbreviated || !words_.BeginsSentences(at.next);
  }

  // "l'art" -> "art", but not "didn't" -> "t".
  static std::u16string_view LastPart(std::u16string_view word) {
    const size_t at = word.find_last_of(u"'\u2019/");
    return at == std::u16string_view::npos || at + 2 >= word.size() ? word : word.substr(at + 1);
  }

  const Abbreviations& words_;
};

class IcuSplitter : public SentenceSplitter {
 public:
  IcuSplitter(const Rules& rules, std::unique_ptr<icu::BreakIterator> iterator)
      : rules_(rules.words), iterator_(std::move(iterator)) {}

  absl::StatusOr<bool> Split(std::string_view prose, const std::function<bool(size_t end)>& end,
                             const StopCheck& stop) override {
    size_t begin = 0;
    bool continued = false;  // the block begins within a sentence
    while (true) {
      if (absl::Status status = stop ? stop() : absl::OkStatus(); !status.ok()) return status;
      block_.Load(prose, begin);
      const auto result = SplitBlock(continued, end);
      if (!result.ok()) return result.status();
      if (!result->wanted) return false;
      if (block_.reaches_end()) return true;
      continued = result->last_end == 0;
      begin = block_.ByteOf(continued ? PlaceToGoOn() : result->last_end);
    }
  }

 private:
  struct BlockResult {
    bool wanted = true;    // of `end`
    int32_t last_end = 0;  // unit behind the last sentence that ends in the block; 0 = none does
  };

  absl::StatusOr<BlockResult> SplitBlock(bool continued, const std::function<bool(size_t)>& end) {
    const std::u16string_view units = block_.units();
    const icu::UnicodeString text(false, block_.icu_units().data(), block_.size());  // not a copy
    iterator_->setText(text);
    BlockResult result;
    const int32_t sure = block_.reaches_end() ? block_.size() - 1 : block_.size() - kLookahead;
    int32_t sentence = 0;
    for (int32_t at = iterator_->next(); at != icu::BreakIterator::DONE && at <= sure;
         at = iterator_->next()) {
      const int32_t next = NextSentence(units, sentence, at);
      if (next >= block_.size()) continue;
      const BlockReader reader(units, sentence, next, continued && sentence == 0);
      if (next <= sentence || !rules_.Ends(reader.Read())) continue;
      int32_t last = next;
      while (last > sentence && IsBlankUnit(units[last - 1])) --last;
      if (last == sentence) continue;
      sentence = next;
      result.last_end = last;
      if (!end(block_.ByteOf(last))) {
        result.wanted = false;
        break;
      }
    }
    return result;
  }

  // Where the next sentence begins for ICU's `at`. ICU takes brackets that open for ones that close
  // ("。「"), and does not know that » may close behind a blank.
  static int32_t NextSentence(std::u16string_view units, int32_t sentence, int32_t at) {
    const auto size = static_cast<int32_t>(units.size());
    while (at > sentence && at < size && Opens(units[at - 1], units[at])) --at;
    if (at == sentence || !IsBlankUnit(units[at - 1])) return at;
    for (int32_t closer = at; closer < size && Closes(units[closer]); ++closer) {
      if (closer + 1 < size && !IsBlankUnit(units[closer + 1])) continue;
      at = std::min(closer + 2, size);
    }
    return at;
  }
  static bool Opens(char16_t c, char16_t next) {
    const int8_t type = u_charType(c);
    return type == U_START_PUNCTUATION || (type == U_INITIAL_PUNCTUATION && !IsBlankUnit(next));
  }
  static bool Closes(char16_t c) {
    const int8_t type = u_charType(c);
    return type == U_END_PUNCTUATION || type == U_FINAL_PUNCTUATION;
  }

  // Where the next block begins where this one ends no sentence: behind its last blank, else at its
  // end.
  int32_t PlaceToGoOn() const {
    const std::u16string_view units = block_.units();
    int32_t place = block_.size() - kLookahead;
    const int32_t low = place / 2;
    for (int32_t at = place; at > low; --at)
      if (IsBlankUnit(units[at - 1]) && !IsBlankUnit(units[at])) return at;
    while (place > 0 && U16_IS_TRAIL(units[place])) --place;
    return place;
  }

  const EndRules rules_;
  const std::unique_ptr<icu::BreakIterator> iterator_;
  SentenceBlock block_;
};

}  // namespace

absl::Status LoadSentenceRules() { return LoadedRules().status(); }

absl::StatusOr<std::unique_ptr<SentenceSplitter>> SentenceSplitter::Create() {
  const auto& rules = LoadedRules();
  if (!rules.ok()) return rules.status();
  std::unique_ptr<icu::BreakIterator> iterator((*rules)->iterator->clone());
  if (iterator == nullptr)
    return absl::ResourceExhaustedError("no memory for ICU's iterator over sentences");
  return std::make_unique<IcuSplitter>(**rules, std::move(iterator));
}

}  // namespace longspan
