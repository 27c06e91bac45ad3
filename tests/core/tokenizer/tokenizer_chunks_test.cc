// A long text is tokenised in parts. Its ids, offsets and special flags are those that the crate
// gives for the whole text, for every family and for texts full of what might reach over a cut, and
// the memory beside the tokens does not grow with the text.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/tokenizer/ffi/longspan_tokenizers.h"
#include "core/tokenizer/text_chunks.h"
#include "core/tokenizer/tokenizer.h"
#include "core/tokenizer/tokenizer_folder.h"
#include "core/tokenizer/tokenizer_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longspan {
namespace {

std::string Folder(const std::string& name) {
  return std::string(LONGSPAN_FIXTURES) + "/tokenizers/" + name;
}

// What the crate gives for the whole text, without Tokenizer::Encode.
Tokenization WholeByTheCrate(const std::string& folder, const std::string& text) {
  const auto files = ReadTokenizerFolder(folder);
  const TokenizerRecipe& recipe = files->recipe;
  const std::string components = recipe.components.is_null() ? "" : recipe.components.dump();
  longspan_tokenizers_tokenizer* tokenizer = nullptr;
  EXPECT_EQ(longspan_tokenizers_load(files->json.data(), files->json.size(), components.data(),
                                     components.size(), &tokenizer, {}),
            0);
  const std::string tokens = nlohmann::json(recipe.tokens).dump();
  EXPECT_EQ(longspan_tokenizers_add_tokens(tokenizer, tokens.data(), tokens.size(), {}), 0);
  if (recipe.post_processor) {
    const auto id_of = [&](const std::string& token) -> int64_t {
      int32_t id = -1;
      longspan_tokenizers_token_id(tokenizer, token.data(), token.size(), &id, {});
      return id;
    };
    const std::string processor = recipe.post_processor(id_of).dump();
    EXPECT_EQ(
        longspan_tokenizers_set_post_processor(tokenizer, processor.data(), processor.size(), {}),
        0);
  }
  longspan_tokenizers_encoding* encoding = nullptr;
  EXPECT_EQ(longspan_tokenizers_encode(tokenizer, text.data(), text.size(), 1, &encoding, {}), 0);
  const size_t n = longspan_tokenizers_encoding_size(encoding);
  Tokenization out;
  out.ids.resize(n);
  out.special.resize(n);
  out.bytes.resize(n);
  out.characters.resize(n);
  longspan_tokenizers_encoding_copy(
      encoding, {out.ids.data(), /*types=*/nullptr, out.special.data(), &out.bytes.front().begin,
                 &out.characters.front().begin});
  longspan_tokenizers_encoding_free(encoding);
  longspan_tokenizers_free(tokenizer);
  return out;
}

// A text of words of every kind between single blanks. It has many places to cut beside tokens that
// might reach over them.
std::string MixedText(size_t bytes, uint64_t seed) {
  const std::vector<std::string> words = {
      "the",   "Agreement", "shall", "it's",      "we'll", "naïve", "Ünïcode", "e\xCC\x81t\xC3\xA9",
      "12,50", "x2",        "\n",    "\n\n",      "  ",    "\t",    "你好",    "<mask>",
      "</s>",  "[SEP]",     "don't", "(whereas)", "A.B.",  "ﬁne",   "Σας",     "👩‍👧",
      "I",     "a",         "of",    "party",     "law",   "is"};
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < bytes) {
    const size_t pick =
        random() % 3 == 0 ? random() % words.size() : words.size() - 1 - random() % 6;
    text += words[pick];
    if (random() % 16 != 0) text += ' ';
  }
  return text;
}

class TokenizerChunksTest : public ::testing::TestWithParam<const char*> {};

bool CutsAtBlanks(const std::string& name) {
  const auto files = ReadTokenizerFolder(Folder(name));
  return InspectTokenizerJson(files->document, files->name)->cuts_at_blanks;
}

TEST_P(TokenizerChunksTest, PartsGiveTheTokensOfTheWhole) {
  const auto tokenizer = Tokenizer::Load(Folder(GetParam()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const std::string text = MixedText(1'500'000, seed);
    const Tokenization whole = WholeByTheCrate(Folder(GetParam()), text);
    const auto parts = (*tokenizer)->Encode(text);
    ASSERT_TRUE(parts.ok()) << parts.status();
    ASSERT_EQ(parts->ids, whole.ids);
    ASSERT_TRUE(parts->bytes == whole.bytes);
    ASSERT_TRUE(parts->characters == whole.characters);
    ASSERT_EQ(parts->special, whole.special);
    // And one part at a time.
    Tokenization joined;
    size_t largest = 0;
    ASSERT_TRUE((*tokenizer)
                    ->EncodeByParts(text, true,
                                    [&](const Tokenization& part) {
                                      largest = std::max(largest, part.ids.size());
                                      const auto append = [](const auto& from, auto* to) {
                                        to->insert(to->end(), from.begin(), from.end());
                                      };
                                      append(part.ids, &joined.ids);
                                      append(part.bytes, &joined.bytes);
                                      append(part.characters, &joined.characters);
                                      append(part.special, &joined.special);
                                      return absl::OkStatus();
                                    })
                    .ok());
    ASSERT_EQ(joined.ids, whole.ids);
    ASSERT_TRUE(joined.bytes == whole.bytes);
    ASSERT_TRUE(joined.characters == whole.characters);
    ASSERT_EQ(joined.special, whole.special);
    if (CutsAtBlanks(GetParam())) {
      EXPECT_LT(largest, whole.ids.size() / 2);
    }
  }
}

TEST(TokenizerByPartsTest, AnErrorOfTheReader_EndsIt) {
  const auto tokenizer = Tokenizer::Load(Folder("bert-uncased"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  int parts = 0;
  const absl::Status status =
      (*tokenizer)->EncodeByParts(MixedText(1'500'000, 1), true, [&](const Tokenization&) {
        return ++parts == 2 ? absl::CancelledError("enough") : absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(parts, 2);
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerChunksTest,
                         ::testing::Values("bert-uncased", "bert-cased", "roberta",
                                           "roberta-prefix-space", "modernbert", "unigram",
                                           "metaspace-bpe", "byte-fallback-bpe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(TokenizerJsonTest, CutsAtBlanks_IsKnownOfTheFamiliesThatSplitThere) {
  for (const char* name :
       {"bert-uncased", "bert-cased", "roberta", "roberta-prefix-space", "modernbert"})
    EXPECT_TRUE(CutsAtBlanks(name)) << name;
  EXPECT_FALSE(CutsAtBlanks("byte-fallback-bpe"));  // merges may reach over a blank
}

TEST(TextChunksTest, CutsBetweenLettersAroundOneBlank_WithTheWordBefore) {
  const std::string text = "aa bb, cc dd ee ff";
  const std::vector<TextChunk> chunks = CutAtBlanks(text, 8);
  // No place in the first 8 bytes has a word of letters between two blanks before it.
  ASSERT_EQ(chunks.size(), 1u);
  const std::string longer = text + " gg hh ii jj kk";
  const std::vector<TextChunk> more = CutAtBlanks(longer, 8);
  ASSERT_GE(more.size(), 2u);
  EXPECT_EQ(longer.substr(more[1].lead, 6), " ee ff");
  EXPECT_EQ(longer.substr(more[1].begin, 3), " ff");
  for (size_t i = 0; i < more.size(); ++i)
    EXPECT_EQ(more[i].end, i + 1 < more.size() ? more[i + 1].begin : longer.size());
}

TEST(TextChunksTest, TextWithoutPlacesStaysWhole) {
  std::string chinese;
  while (chinese.size() < 100'000) chinese += "你好";
  EXPECT_EQ(CutAtBlanks(chinese, 1000).size(), 1u);
  EXPECT_EQ(CutAtBlanks(std::string(100'000, ' '), 1000).size(), 1u);
  EXPECT_EQ(CutAtBlanks("", 1000).size(), 1u);
}

int64_t PeakMiB() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// In one piece each of the two texts takes about 600 MiB. In parts, both together stay below half
// of that, and most of it are the tokens themselves, with 37 bytes each.
TEST(TokenizerMemoryTest, LongTextsSideBySideTakeLittleBesideTheirTokens) {
  const auto tokenizer = Tokenizer::Load(Folder("roberta"));
  ASSERT_TRUE(tokenizer.ok());
  std::string text;
  while (text.size() < (4u << 20))
    text +=
        "This Agreement shall be governed by the laws of the State in which the party resides. ";
  const int64_t before = PeakMiB();
  std::atomic<int64_t> tokens = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back(
        [&] { tokens += static_cast<int64_t>((*tokenizer)->Encode(text)->ids.size()); });
  for (std::thread& thread : threads) thread.join();
  const int64_t tokens_mib = tokens * 37 / (1 << 20);
  EXPECT_LT(PeakMiB() - before, tokens_mib * 5 / 4 + 128) << tokens << " tokens";
}

}  // namespace
}  // namespace longspan
