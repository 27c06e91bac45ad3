#include "server/text/lexical_preparation.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/error_details.h"
#include "server/text/stems.h"
#include "server/text/words.h"

namespace longspan {
namespace {

// Bytes of a text between two looks whether it is still wanted: a few milliseconds.
constexpr size_t kPartBytes = 64 << 10;

struct Word {
  int64_t begin = 0;  // byte of the text
  uint32_t id = 0;
};

// A word with the apostrophe of keyboards. `held` keeps it where it differs.
std::string_view WithPlainApostrophe(std::string_view word, std::string* held) {
  constexpr std::string_view kTypographic = "\xe2\x80\x99";  // U+2019
  if (word.find(kTypographic) == std::string_view::npos) return word;
  *held = absl::StrReplaceAll({word.data(), word.size()}, {{"\xe2\x80\x99", "'"}});
  return *held;
}

// Reads the words of texts, less the stop words, as ids.
class IdReader {
 public:
  static absl::StatusOr<IdReader> Create(const LexicalOptions& options) {
    auto words = WordReader::Create();
    if (!words.ok()) return words.status();
    auto stems = Stemmer::Create(options.language);
    if (!stems.ok()) return stems.status();
    IdReader reader(*std::move(words), *std::move(stems));
    for (const std::string& word : options.stop_words) {
      absl::Status status =
          reader.words_.Read(word, [&](std::string_view folded, int64_t, int64_t) {
            reader.stop_words_.emplace(WithPlainApostrophe(folded, &reader.held_));
            return true;
          });
      if (!status.ok()) return status;
    }
    return reader;
  }

  // The words of `text`, in order. It is read in parts that end before a blank, where no word goes
  // on.
  absl::StatusOr<std::vector<Word>> Read(std::string_view text, const StopCheck& stop) {
    std::vector<Word> words;
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
      if (absl::Status status = stop ? stop() : absl::OkStatus(); !status.ok()) return status;
      end = text.find_first_of(" \t\r\n", std::min(begin + kPartBytes, text.size()));
      if (end == std::string_view::npos) end = text.size();
      absl::Status status = words_.Read(
          text.substr(begin, end - begin), [&](std::string_view folded, int64_t at, int64_t) {
            const std::string_view word = WithPlainApostrophe(folded, &held_);
            if (!stop_words_.contains(absl::string_view(word.data(), word.size())))
              words.push_back({static_cast<int64_t>(begin) + at, WordId(stems_.Stem(word))});
            return true;
          });
      if (!status.ok()) return status;
    }
    return words;
  }

 private:
  IdReader(WordReader words, Stemmer stems) : words_(std::move(words)), stems_(std::move(stems)) {}

  WordReader words_;
  Stemmer stems_;
  absl::flat_hash_set<std::string> stop_words_;
  std::string held_;
};

// The vectors of one text, whose words are read.
class Vectors {
 public:
  Vectors(const EncodeInput& input, std::vector<Word> words, PreparedText* prepared)
      : input_(input), options_(*input.lexical), words_(std::move(words)), prepared_(*prepared) {
    const TextRange whole{0, static_cast<int64_t>(input.text.size())};
    used_ = prepared_.tokens_used < prepared_.tokens_total ? prepared_.used_text
                                                           : std::vector<TextRange>{whole};
  }

  absl::Status CheckSpans() const {
    int64_t words = 0;
    for (const PreparedSpan& span : prepared_.spans) {
      const auto [first, last] = WordsOf(span.bytes);
      words += last - first;
    }
    const int64_t allowed =
        std::max(kFreeSpanWords, kMostSpanWordsOfAWord * static_cast<int64_t>(words_.size()));
    if (words <= allowed) return absl::OkStatus();
    return WithReason(InvalidField(input_.field + ".spans",
                                   absl::StrCat("have ", words,
                                                " words together; allowed with lexical vectors: "
                                                "at most ",
                                                allowed)),
                      kReasonMaxSpansPerText);
  }

  absl::Status Add(const StopCheck& stop) {
    prepared_.lexical = Weigh(used_, options_.average_length);
    for (PreparedSpan& span : prepared_.spans) {
      if (absl::Status status = stop ? stop() : absl::OkStatus(); !status.ok()) return status;
      span.lexical = Weigh(ReadOf(span), options_.average_span_length);
    }
    return absl::OkStatus();
  }

 private:
  // What the model reads of a span; alone it is read whole.
  std::vector<TextRange> ReadOf(const PreparedSpan& span) const {
    if (input_.independent_spans) return {span.bytes};
    std::vector<TextRange> read;
    for (const TextRange& used : used_) {
      const TextRange both{std::max(used.begin, span.bytes.begin),
                           std::min(used.end, span.bytes.end)};
      if (both.begin < both.end) read.push_back(both);
    }
    return read;
  }

  // The words that begin in `bytes`, as indices [first, last).
  std::pair<int64_t, int64_t> WordsOf(TextRange bytes) const {
    const auto index = [&](int64_t at) {
      return std::partition_point(words_.begin(), words_.end(),
                                  [&](const Word& word) { return word.begin < at; }) -
             words_.begin();
    };
    return {index(bytes.begin), index(bytes.end)};
  }

  std::shared_ptr<const LexicalVector> Weigh(const std::vector<TextRange>& ranges,
                                             double average_length) const {
    std::vector<uint32_t> ids;
    for (const TextRange& range : ranges) {
      const auto [first, last] = WordsOf(range);
      for (int64_t word = first; word < last; ++word) ids.push_back(words_[word].id);
    }
    return std::make_shared<LexicalVector>(WeighWords(std::move(ids), options_, average_length));
  }

  const EncodeInput& input_;
  const LexicalOptions& options_;
  const std::vector<Word> words_;
  std::vector<TextRange> used_;
  PreparedText& prepared_;
};

}  // namespace

absl::Status AddLexicalVectors(const EncodeInput& input, const StopCheck& stop,
                               PreparedText* prepared) {
  if (!input.lexical.has_value()) return absl::OkStatus();
  auto reader = IdReader::Create(*input.lexical);
  if (!reader.ok()) return reader.status();
  auto words = reader->Read(input.text, stop);
  if (!words.ok()) return words.status();
  Vectors vectors(input, *std::move(words), prepared);
  if (absl::Status status = vectors.CheckSpans(); !status.ok()) return status;
  return vectors.Add(stop);
}

}  // namespace longspan
