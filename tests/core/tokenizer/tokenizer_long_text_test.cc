// A mebibyte of one unit repeated (one word, one run of signs, one cluster of joined emoji, text
// without blanks): the crate's merges, lattices and regular expressions must neither recurse nor go
// over the whole text again for each token.
//
// The ids prove that nothing was cut or left out: they must be those of a short text of the same
// unit, drawn out. Say that 3 'a' make one token: a^6 -> [A A], a^9 -> [A A A]. With n units in the
// short text and N in the long one, N = n (mod 5040), both begin and end with the same tokens and
// repeat with the same period in between.
//
// No clock is read. Work that grew with the square of the length would be 1,000 to 40,000 times
// that of the short text, and the test would end at its time limit.
#include <algorithm>
#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longspan {
namespace {

// A multiple of every number up to 10, so that tokens of up to 10 units leave no rest.
constexpr size_t kUnits = 5040;

std::string Repeat(const std::string& unit, size_t count) {
  std::string text;
  text.reserve(unit.size() * count);
  for (size_t i = 0; i < count; ++i) text += unit;
  return text;
}

// The smallest p with ids[i] == ids[i + p] from `begin` to `end`; 0 = none up to 64.
size_t Period(const std::vector<int32_t>& ids, size_t begin, size_t end) {
  for (size_t period = 1; period <= 64; ++period) {
    bool holds = true;
    for (size_t i = begin; holds && i + period < end; ++i) holds = ids[i] == ids[i + period];
    if (holds) return period;
  }
  return 0;
}

void ExpectDrawnOut(const std::vector<int32_t>& small, const std::vector<int32_t>& large,
                    size_t times) {
  if (small.size() < 300) {  // one token for all units: [UNK], or blanks that were dropped
    EXPECT_EQ(large, small);
    return;
  }
  const size_t end = 64;  // tokens at either end that may differ because of the text's edge
  EXPECT_TRUE(std::equal(small.begin(), small.begin() + end, large.begin()));
  EXPECT_TRUE(std::equal(small.end() - end, small.end(), large.end() - end));
  const size_t period = Period(small, end, small.size() - end);
  ASSERT_GT(period, 0u);
  EXPECT_EQ(Period(large, end, large.size() - end), period);
  EXPECT_NEAR(static_cast<double>(large.size()), static_cast<double>(small.size() * times),
              8.0 * static_cast<double>(times));
}

class TokenizerLongTextTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerLongTextTest, OneMebibyteOfOneUnitIsTheShortTextDrawnOut) {
  const auto tokenizer =
      Tokenizer::Load(std::string(LONGSPAN_FIXTURES) + "/tokenizers/" + GetParam());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const char* units[] = {
      "a",
      "^",
      " ",
      "\n",
      "\xF0\x9F\x91\xA8\xE2\x80\x8D",      // man, joiner: one cluster without end
      "\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA",  // a flag: pairs are counted from the text's start
      "\xE4\xBD\xA0\xE5\xA5\xBD",          // two Chinese characters, no blank anywhere
      "\xCC\x81",                          // a combining accent: one sequence to bring in order
      "</s>",                              // an added token in some vocabularies
  };
  for (const std::string unit : units) {
    const size_t times = (size_t{1} << 20) / (unit.size() * kUnits);
    const auto small = (*tokenizer)->Encode(Repeat(unit, kUnits)),
               large = (*tokenizer)->Encode(Repeat(unit, kUnits * times));
    ASSERT_TRUE(small.ok() && large.ok()) << small.status() << large.status();
    SCOPED_TRACE(unit);
    ExpectDrawnOut(small->ids, large->ids, times);
    for (size_t i = 0; i < large->ids.size(); ++i) {
      ASSERT_LE(large->bytes[i].end, static_cast<int64_t>(unit.size() * kUnits * times)) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerLongTextTest,
                         ::testing::Values("roberta", "modernbert", "bert-uncased", "unigram",
                                           "metaspace-bpe", "byte-fallback-bpe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace longspan
