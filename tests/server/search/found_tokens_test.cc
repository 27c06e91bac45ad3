// Best tokens become places of the question and of the text.
#include "server/search/found_tokens.h"

#include <gmock/gmock.h>

#include <vector>

namespace longspan {
namespace {

TEST(FoundTokensTest, EachHasThePlaceOfItsTokenAndOfItsRow) {
  const std::vector<TokenPlace> query = {{}, {0, 4, 0, 3}}, text = {{0, 2, 0, 1}, {3, 9, 2, 8}};
  const std::vector<BestToken> best = {{.token = 1, .row = 0, .similarity = 0.5f, .weight = 0.75f},
                                       {.token = 0, .row = 1, .similarity = 0.1f, .weight = 0.25f}};
  const std::vector<FoundToken> found = FoundTokens(best, query, text);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].query.byte_end, 4u);
  EXPECT_EQ(found[0].query.character_end, 3u);
  EXPECT_EQ(found[0].text.byte_end, 2u);
  EXPECT_EQ(found[0].similarity, 0.5f);
  EXPECT_EQ(found[0].weight, 0.75f);
  EXPECT_EQ(found[1].query.byte_end, 0u) << "not in the question";
  EXPECT_EQ(found[1].text.byte_begin, 3u);
  EXPECT_EQ(found[1].text.character_end, 8u);
}

}  // namespace
}  // namespace longspan
