// Answers about kept documents: every field, and that none is larger than was reckoned before.
#include "server/wire/collection_encoder.h"

#include <gmock/gmock.h>

#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/wire/input_decoder.h"

namespace longspan {
namespace {

CollectionInfo Info() {
  return {.name = "notes",
          .documents = 3,
          .tokens = 700,
          .bytes = 9000,
          .on_disk_bytes = 12000,
          .settings = {.format = TokenFormat::kTwoBit, .cell_tokens = 50, .language = "german"}};
}

TEST(CollectionEncoderTest, ACollectionAsItIs) {
  v1::Collection collection;
  FillCollection(Info(), &collection);
  EXPECT_EQ(collection.name(), "notes");
  EXPECT_EQ(collection.documents(), 3u);
  EXPECT_EQ(collection.tokens(), 700u);
  EXPECT_EQ(collection.bytes(), 9000u) << "those that count, not those of the file";
  EXPECT_EQ(collection.format(), v1::KEPT_FORMAT_TWO_BIT);
  EXPECT_EQ(collection.span_tokens(), 100u);
  EXPECT_EQ(collection.language(), "german");
  EXPECT_EQ(collection.error(), "");
}

TEST(CollectionEncoderTest, OneThatCannotBeUsed_HasItsNameAndTheReasonAlone) {
  CollectionInfo info = Info();
  info.status = absl::DataLossError("notes.longspan is damaged");
  v1::Collection collection;
  FillCollection(info, &collection);
  v1::Collection expected;
  expected.set_name("notes");
  expected.set_error("notes.longspan is damaged");
  EXPECT_EQ(collection.SerializeAsString(), expected.SerializeAsString());
}

TEST(CollectionEncoderTest, APut_TellsWhatWasRead_InOrder) {
  const PutAnswer answer{.documents = {{.tokens_total = 9, .tokens_used = 9},
                                       {.tokens_total = 900, .tokens_used = 512}},
                         .added = 1,
                         .replaced = 1,
                         .collection = Info()};
  std::vector<std::string> ids = {"a", "b"};
  const v1::PutDocumentsResponse response =
      PutResponseOf(answer, ids, {.compute = absl::Milliseconds(3)});
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).id(), "a");
  EXPECT_EQ(response.results(0).tokens_used(), 9u);
  EXPECT_FALSE(response.results(0).truncated());
  EXPECT_EQ(response.results(1).id(), "b");
  EXPECT_EQ(response.results(1).tokens_total(), 900u);
  EXPECT_EQ(response.results(1).tokens_used(), 512u);
  EXPECT_TRUE(response.results(1).truncated());
  EXPECT_EQ(response.added(), 1u);
  EXPECT_EQ(response.replaced(), 1u);
  EXPECT_EQ(response.collection().documents(), 3u);
  EXPECT_EQ(response.timings().compute_ns(), 3'000'000u);
}

TEST(CollectionEncoderTest, NoAnswerIsLargerThanWasReckoned) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  for (const size_t documents : {0u, 1u, 128u}) {
    for (const int64_t id_bytes : {int64_t{1}, kMaxIdBytes}) {
      PutAnswer answer{.added = kMost,
                       .replaced = kMost,
                       .collection = {.name = std::string(64, 'n'),
                                      .documents = kMost,
                                      .tokens = kMost,
                                      .bytes = kMost,
                                      .settings = {.format = TokenFormat::kTwoBit,
                                                   .cell_tokens = 4096,
                                                   .language = "serbo-croatian-and-more"}}};
      answer.documents.assign(documents, {.tokens_total = kMost, .tokens_used = kMost - 1});
      std::vector<std::string> ids(documents, std::string(static_cast<size_t>(id_bytes), 'i'));
      const int64_t most = MostPutBytes(ids);
      const StageTimings long_ago{.tokenize = absl::Hours(1000000),
                                  .queue = absl::Hours(1000000),
                                  .compute = absl::Hours(1000000),
                                  .total = absl::Hours(1000000),
                                  .batch_pieces = std::numeric_limits<int32_t>::max(),
                                  .batch_tokens = kMost};
      const v1::PutDocumentsResponse response = PutResponseOf(answer, ids, long_ago);
      EXPECT_LE(static_cast<int64_t>(response.ByteSizeLong()), most) << documents;
    }
  }
}

}  // namespace
}  // namespace longspan
