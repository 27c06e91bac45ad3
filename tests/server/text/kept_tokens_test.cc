#include "server/text/kept_tokens.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using ::testing::ElementsAre;

// The example of the header: [CLS] b0 b1 b2 b3 b4 [SEP], of which b0 b1 and b4 are kept.
class KeptTokensTest : public ::testing::Test {
 protected:
  KeptTokensTest() {
    layout_.tokens.ids = {1, 100, 101, 102, 103, 104, 2};
    layout_.body = {1, 6};
  }
  KeptTokens Kept() const { return KeptTokens(layout_, {{1, 3}, {5, 6}}); }

  TokenLayout layout_;
};

TEST_F(KeptTokensTest, Ids_AreThoseOfPrefixKeptRangesAndSuffix) {
  EXPECT_THAT(Kept().Ids(layout_.tokens.ids), ElementsAre(1, 100, 101, 104, 2));
  EXPECT_EQ(Kept().size(), 5);
  EXPECT_EQ(Kept().body(), (TokenRange{1, 6}));
}

TEST_F(KeptTokensTest, Gap_IsWhereTheMiddleIsMissing) {
  EXPECT_EQ(Kept().gap(), 3);
  EXPECT_EQ(KeptTokens(layout_, {{1, 3}}).gap(), 0) << "the end is missing";
  EXPECT_EQ(KeptTokens(layout_, {{1, 2}, {6, 6}}).gap(), 0) << "room for one token alone";
}

TEST_F(KeptTokensTest, Map_FollowsTheExampleOfTheHeader) {
  EXPECT_EQ(Kept().Map({2, 6}), (TokenRange{2, 4}));
}

TEST_F(KeptTokensTest, Map_GivesAnEmptyRange_WhereNothingIsKept) {
  EXPECT_EQ(Kept().Map({3, 5}).size(), 0);
  EXPECT_EQ(Kept().Map({0, 7}), (TokenRange{0, 5}));
  EXPECT_EQ(Kept().Map({5, 6}), (TokenRange{3, 4}));
}

}  // namespace
}  // namespace longspan
