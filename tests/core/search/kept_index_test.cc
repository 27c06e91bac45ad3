// The counts of an index against those of its texts, while texts come and go.
#include "core/search/kept_index.h"

#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "tests/core/search/kept_samples.h"

namespace longspan {
namespace {

constexpr int64_t kWidth = 8, kCell = 4;

class KeptIndexTest : public testing::Test {
 protected:
  void Add() {
    const SampleText text =
        MakeSampleText({5 + static_cast<int64_t>(random_() % 40), 7}, kWidth, kCell, random_);
    auto bytes =
        std::make_unique<std::vector<std::byte>>(PackText(text.Parts(TokenFormat::kInt8, kCell)));
    const KeptText parsed = KeptText::Parse(*bytes, kWidth).value();
    const uint32_t slot = index_.Add(parsed);
    EXPECT_FALSE(texts_.contains(slot));
    texts_.emplace(slot, parsed);
    bytes_.push_back(std::move(bytes));
  }
  void Remove() {
    auto one = texts_.begin();
    std::advance(one, random_() % texts_.size());
    index_.Remove(one->first);
    texts_.erase(one);
  }
  // An index that was built of the same texts at once counts the same.
  void Check() {
    int64_t rows = 0, blocks = 0, passages = 0;
    std::map<uint64_t, int64_t> blocks_of_word, texts_of_word;
    std::map<int32_t, int64_t> blocks_of_id;
    for (const auto& [slot, text] : texts_) {
      rows += text.num_rows();
      blocks += text.num_blocks();
      passages += text.num_passages();
      for (const KeptText::Word& word : text.words()) {
        blocks_of_word[word.stem] += word.blocks;
        ++texts_of_word[word.stem];
      }
      for (const KeptText::Id& id : text.ids()) blocks_of_id[id.id] += id.blocks;
    }
    EXPECT_EQ(index_.num_texts(), static_cast<int64_t>(texts_.size()));
    EXPECT_EQ(index_.num_rows(), rows);
    EXPECT_EQ(index_.num_blocks(), blocks);
    EXPECT_EQ(index_.num_passages(), passages);
    for (int i = 0; i <= 30; ++i) {
      const uint64_t stem = 0x9e3779b97f4a7c15ull * static_cast<uint64_t>(i);
      const KeptIndex::WordTexts* found = index_.Find(stem);
      ASSERT_EQ(found != nullptr, blocks_of_word.contains(stem)) << i;
      if (found == nullptr) continue;
      EXPECT_EQ(found->blocks, blocks_of_word[stem]);
      ASSERT_EQ(static_cast<int64_t>(found->texts.size()), texts_of_word[stem]);
      for (const KeptIndex::Posting& posting : found->texts)
        EXPECT_EQ(texts_.at(posting.slot).words()[posting.word].stem, stem);
    }
    const std::vector<int32_t> ids = {3, 17, 3, 40, 999};
    const TokenRarity rarity = index_.Rarity(ids);
    EXPECT_EQ(rarity.blocks(), blocks);
    for (size_t i = 0; i < ids.size(); ++i)
      EXPECT_EQ(rarity.holding(i), blocks_of_id[ids[i]]) << ids[i];
  }

  std::mt19937 random_{7};
  KeptIndex index_{kWidth, kCell};
  std::map<uint32_t, KeptText> texts_;
  std::vector<std::unique_ptr<std::vector<std::byte>>> bytes_;
};

TEST_F(KeptIndexTest, CountsItsTexts_WhileTheyComeAndGo) {
  Check();
  for (int round = 0; round < 40; ++round) {
    if (texts_.size() < 3 || random_() % 3 != 0) {
      Add();
    } else {
      Remove();
    }
    Check();
  }
  while (!texts_.empty()) Remove();
  Check();
  EXPECT_EQ(index_.block_words(), 0);
}

TEST_F(KeptIndexTest, ASlotIsGivenAgain) {
  Add();
  Add();
  const uint32_t slot = texts_.begin()->first;
  index_.Remove(slot);
  texts_.erase(slot);
  Add();
  EXPECT_TRUE(texts_.contains(slot));
  EXPECT_EQ(index_.texts().size(), 2u);
}

}  // namespace
}  // namespace longspan
