// The example of core/encoder.h, compiled and run.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "tests/core/header_example.h"

namespace longspan {
namespace {

absl::StatusOr<std::vector<float>> EncodeOneText(const std::string& model_dir,
                                                 const std::vector<int32_t>& ids) {
  // Example of core/encoder.h: begin
  const absl::StatusOr<std::unique_ptr<Encoder>> encoder = Encoder::Load(model_dir);
  if (!encoder.ok()) return encoder.status();
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  const std::vector<EncodeOptions> options(1);  // one per text; these: the model's own pooling
  const std::vector<absl::StatusOr<EncodedText>> results = (*encoder)->Encode(batch, options);
  if (!results[0].ok()) return results[0].status();
  return results[0]->vector;
  // Example of core/encoder.h: end
}

TEST(EncoderExample, IsThatOfTheHeader) {
  ExpectExampleOfHeader("core/encoder.h", "tests/core/encoder_example_test.cc");
}

TEST(EncoderExample, GivesAVector) {
  const auto vector = EncodeOneText(LONGSPAN_FIXTURES "/longformer-windows", {5, 6, 7, 8});
  ASSERT_TRUE(vector.ok()) << vector.status();
  EXPECT_EQ(vector->size(), 32u);  // the fixture's hidden_size
  EXPECT_THAT(*vector, ::testing::Contains(::testing::Ne(0.0f)));
}

TEST(EncoderExample, GivesTheErrorOfAFolderThatIsNotThere) {
  EXPECT_EQ(EncodeOneText("/nowhere", {5}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace longspan
