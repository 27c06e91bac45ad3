#include "server/text/stems.h"

#include <libstemmer.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace longspan {
namespace {

constexpr std::string_view kTypographicApostrophe = "\xe2\x80\x99";  // U+2019

std::vector<std::string> ReadLanguages() {
  std::vector<std::string> languages{std::string(kNoStemLanguage)};
  for (const char** name = sb_stemmer_list(); *name != nullptr; ++name)
    languages.emplace_back(*name);
  std::sort(languages.begin(), languages.end());
  return languages;
}

}  // namespace

void Stemmer::Delete::operator()(sb_stemmer* rules) const { sb_stemmer_delete(rules); }

const std::vector<std::string>& Stemmer::Languages() {
  static const auto& languages = *new std::vector<std::string>(ReadLanguages());
  return languages;
}

absl::StatusOr<Stemmer> Stemmer::Create(std::string_view language) {
  if (language.empty()) language = kDefaultStemLanguage;
  const std::vector<std::string>& allowed = Languages();
  // libstemmer knows further names, such as "en"; one language has one name here.
  if (!std::binary_search(allowed.begin(), allowed.end(), language))
    return absl::InvalidArgumentError(absl::StrCat("language is '", std::string(language),
                                                   "'; allowed: ", absl::StrJoin(allowed, ", ")));
  if (language == kNoStemLanguage) return Stemmer(nullptr);
  sb_stemmer* rules = sb_stemmer_new(std::string(language).c_str(), "UTF_8");
  if (rules == nullptr)
    return absl::ResourceExhaustedError("no memory is left for the rules of stems");
  return Stemmer(rules);
}

std::string_view Stemmer::Stem(std::string_view folded_word) {
  if (rules_ == nullptr) return folded_word;
  if (folded_word.find(kTypographicApostrophe) != std::string_view::npos) {
    plain_ = folded_word;
    absl::StrReplaceAll({{{kTypographicApostrophe.data(), kTypographicApostrophe.size()}, "'"}},
                        &plain_);
    folded_word = plain_;
  }
  const sb_symbol* stem =
      sb_stemmer_stem(rules_.get(), reinterpret_cast<const sb_symbol*>(folded_word.data()),
                      static_cast<int>(folded_word.size()));
  if (stem == nullptr) return folded_word;
  return {reinterpret_cast<const char*>(stem),
          static_cast<size_t>(sb_stemmer_length(rules_.get()))};
}

}  // namespace longspan
