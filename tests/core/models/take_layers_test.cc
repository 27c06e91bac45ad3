// A linear layer's matrix must fit the type that the layer is held in.
#include "core/models/take_layers.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What Finish says after a matrix with this largest value was taken for a layer of this type.
std::string TakeWith(float most, DataType dtype) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/model.safetensors";
  const std::vector<float> values = {1, -most, 2, 3};
  EXPECT_TRUE(
      WriteSafetensors(path,
                       {{"w.weight", {StoredType::kF32, {2, 2}, std::as_bytes(std::span(values))}}})
          .ok());
  auto weights = WeightMap::Open({path}, {});
  EXPECT_TRUE(weights.ok()) << weights.status();
  const bool taken = TakeMatrix(*weights, "w.weight", {2, 2}, dtype).defined();
  EXPECT_EQ(taken, weights->Finish().ok());
  return std::string(weights->Finish().message());
}

TEST(TakeMatrix, RefusesWhatRoundsToInfinityInBFloat16_AndNothingElse) {
  const float largest = 3.3895314e38F;  // of bfloat16
  EXPECT_EQ(TakeWith(largest, DataType::kBFloat16), "");
  EXPECT_EQ(TakeWith(3.4028235e38F, DataType::kFloat32), "");
  EXPECT_THAT(TakeWith(3.4028235e38F, DataType::kBFloat16),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("\"w.weight\" holds 3.4"),
                    HasSubstr("too large for bfloat16; allowed: float32")));
}

}  // namespace
}  // namespace longspan
