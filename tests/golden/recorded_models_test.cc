// Whole models on a backend that records runs of layers (core/models/layer_recordings.h): whatever
// shapes come in whatever order, the rows are bit for bit those of the same backend without
// recordings. The shapes differ from each other in one thing each that a layer depends on.
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "tests/core/backend/recording_backend.h"

namespace longspan {
namespace {

struct Shape {
  std::vector<int64_t> lengths;
  std::vector<int32_t> globals;  // of the last text
  bool has_hole = false;         // in the last text
  bool first_row_only = false;
};

std::unique_ptr<EncoderModel> Load(const std::string& family, const Backend& backend) {
  const auto folder = ModelFolder::Open(std::string(LONGSPAN_FIXTURES) + "/" + family);
  EXPECT_TRUE(folder.ok()) << folder.status();
  if (!folder.ok()) return nullptr;
  auto model = LoadEncoderModel(*folder, {DataType::kFloat32, &backend});
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

class RecordedModelsTest : public testing::TestWithParam<std::string> {};

TEST_P(RecordedModelsTest, RowsAreThoseOfSingleOperations_InWhateverOrderShapesCome) {
  const RecordingBackend backend;
  const PortableBackend plain{at::Device(at::kCPU)};
  const auto model = Load(GetParam(), backend), reference = Load(GetParam(), plain);
  ASSERT_TRUE(model != nullptr && reference != nullptr);
  const ModelInfo& info = model->info();
  const int64_t n = std::min<int64_t>(info.max_tokens, 70);
  std::vector<Shape> shapes = {{{n}},
                               {{n - 1}},
                               {{n, 9}},
                               {{9, n}},
                               {{n + 9 - 12, 12}},
                               {{n}, {}, true},
                               {{9, n}, {}, true},
                               {{n}, {}, false, true},
                               {{9, n}, {}, true, true},
                               {{1}},
                               {{1}, {}, false, true}};
  if (info.supports_global_attention) {
    for (const std::vector<int32_t>& globals :
         std::vector<std::vector<int32_t>>{{0}, {5}, {0, 5}, {0, static_cast<int32_t>(n) - 2}}) {
      shapes.push_back({{n}, globals});
      shapes.push_back({{9, n}, globals, false, true});
    }
  }
  std::mt19937 random(7);
  const auto below = [&](size_t most) { return static_cast<size_t>(random() % most); };
  for (int step = 0; step < 12 * static_cast<int>(shapes.size()); ++step) {
    const Shape& shape = shapes[below(shapes.size())];
    TokenBatch batch;
    for (size_t text = 0; text < shape.lengths.size(); ++text) {
      const bool is_last = text + 1 == shape.lengths.size();
      std::vector<int32_t> ids;
      for (int64_t i = 0; i < shape.lengths[text]; ++i)
        ids.push_back(3 + static_cast<int32_t>(below(info.vocab_size - 3)));
      std::vector<uint8_t> mask(ids.size(), 1);
      if (shape.has_hole && is_last) mask[ids.size() / 2] = 0;
      TokenBatch::Text view{.token_ids = ids};
      if (shape.has_hole) view.attention_mask = mask;
      if (is_last) view.global_positions = shape.globals;
      batch.Add(view);
    }
    ForwardOptions options;
    if (shape.first_row_only) options.first_row_only.assign(batch.num_texts(), true);
    const auto got = model->Forward(batch, options), want = reference->Forward(batch, options);
    ASSERT_TRUE(got.ok() && want.ok()) << got.status() << want.status();
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      const int64_t rows = shape.first_row_only ? 1 : batch.length(text);
      ASSERT_TRUE(at::equal(got->Rows(text, 0, rows), want->Rows(text, 0, rows)))
          << "step " << step << ", text " << text;
    }
  }
  EXPECT_EQ(backend.recorded, static_cast<int>(shapes.size())) << "all can be recorded";
  EXPECT_GT(backend.repeated, 8 * static_cast<int>(shapes.size()));
}

INSTANTIATE_TEST_SUITE_P(Families, RecordedModelsTest,
                         testing::Values("bert", "roberta", "longformer-windows", "longformer-long",
                                         "led", "bigbird", "modernbert"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace longspan
