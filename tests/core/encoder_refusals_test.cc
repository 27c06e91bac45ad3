// What an encoder refuses in inputs and in configs. The message says what is wrong, what was got
// and what is allowed.
#include <optional>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "core/error_details.h"
#include "tests/core/encoder_fixture.h"

namespace longspan {
namespace {

using testing::HasSubstr;

struct BadInput {
  std::string name;
  std::vector<int32_t> ids;
  std::vector<int32_t> globals;
  std::vector<uint8_t> mask;
  LshOptions lsh;
  EncodeOptions options;
  absl::StatusCode code;
  std::string text;
};

TEST_F(EncoderTest, Validate_SaysWhatGotAllowed) {
  using absl::StatusCode;
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40);
  std::vector<int32_t> wild = ids;
  wild[4] = 40;
  const std::vector<BadInput> inputs = {
      {.name = "empty", .ids = {}, .code = StatusCode::kInvalidArgument, .text = "no tokens"},
      {.name = "long",
       .ids = FormulaIds(0, 65, 3, 40),
       .code = StatusCode::kInvalidArgument,
       .text = "has 65 tokens; this model takes at most 64"},
      {.name = "id",
       .ids = wild,
       .code = StatusCode::kInvalidArgument,
       .text = "token_ids[4] is 40; allowed: 0 to 39"},
      {.name = "negative id",
       .ids = {-1},
       .code = StatusCode::kInvalidArgument,
       .text = "token_ids[0] is -1"},
      {.name = "global",
       .ids = ids,
       .globals = {2, 10},
       .code = StatusCode::kInvalidArgument,
       .text = "global_positions[1] is 10"},
      {.name = "order",
       .ids = ids,
       .globals = {2, 2},
       .code = StatusCode::kInvalidArgument,
       .text = "ascending, each once"},
      {.name = "mask",
       .ids = ids,
       .mask = {1},
       .code = StatusCode::kInvalidArgument,
       .text = "attention_mask has 1 values for 10"},
      {.name = "zero mask",
       .ids = {3},
       .mask = {0},
       .code = StatusCode::kInvalidArgument,
       .text = "0 everywhere"},
      {.name = "hashes",
       .ids = ids,
       .lsh = {.num_hashes = 2},
       .code = StatusCode::kFailedPrecondition,
       .text = "no LSH"},
      {.name = "span",
       .ids = ids,
       .options = {.spans = {{0, 4}, {4, 4}}},
       .code = StatusCode::kInvalidArgument,
       .text = "spans[1] is [4, 4)"},
      {.name = "span end",
       .ids = ids,
       .options = {.spans = {{0, 11}}},
       .code = StatusCode::kInvalidArgument,
       .text = "inside [0, 10)"},
      {.name = "dimensions",
       .ids = ids,
       .options = {.dimensions = 25},
       .code = StatusCode::kInvalidArgument,
       .text = "dimensions is 25; allowed: 1 to 24"},
      {.name = "prompt",
       .ids = ids,
       .options = {.pooling_begin = 10},
       .code = StatusCode::kInvalidArgument,
       .text = "pooling_begin is 10; allowed: 0 to 9"},
  };
  for (const BadInput& input : inputs) {
    const absl::Status status = encoder_->Validate({.token_ids = input.ids,
                                                    .global_positions = input.globals,
                                                    .attention_mask = input.mask,
                                                    .lsh = input.lsh},
                                                   input.options);
    EXPECT_EQ(status.code(), input.code) << input.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(input.text)) << input.name;
  }
  EXPECT_TRUE(encoder_
                  ->Validate({.token_ids = ids, .global_positions = std::vector<int32_t>{0, 9}},
                             {.dimensions = 24})
                  .ok());
}

// Where a message begins with the field at fault, the status carries that field too.
TEST_F(EncoderTest, Validate_AttachesTheFieldThatItsMessageNames) {
  const std::vector<int32_t> ids = FormulaIds(0, 10, 3, 40), wild = {3, 40}, globals = {2, 10};
  const std::vector<uint8_t> mask = {1};
  const auto field = [&](const TokenBatch::Text& text, const EncodeOptions& options = {}) {
    const absl::Status status = encoder_->Validate(text, options);
    const std::optional<std::string> name = FieldOf(status);
    if (name.has_value()) {
      EXPECT_THAT(std::string(status.message()), testing::StartsWith(*name + " "));
    }
    return name.value_or("none");
  };
  EXPECT_EQ(field({.token_ids = wild}), "token_ids[1]");
  EXPECT_EQ(field({.token_ids = ids, .global_positions = globals}), "global_positions[1]");
  EXPECT_EQ(field({.token_ids = ids, .attention_mask = mask}), "attention_mask");
  EXPECT_EQ(field({.token_ids = ids}, {.spans = {{0, 4}, {4, 4}}}), "spans[1]");
  EXPECT_EQ(field({.token_ids = ids}, {.dimensions = 25}), "dimensions");
  EXPECT_EQ(field({.token_ids = ids}, {.pooling_begin = 10}), "pooling_begin");
  EXPECT_EQ(field({.token_ids = {}}), "none");
  EXPECT_EQ(field({.token_ids = ids, .lsh = {.num_hashes = 2}}), "none");
}

TEST_F(EncoderTest, BadConfigs_NameKeyValueAndWhatIsAllowed) {
  struct BadConfig {
    nlohmann::json edit;
    std::string text;
  };
  const std::vector<BadConfig> configs = {
      {{{"attention_window", 7}}, "\"attention_window\" is 7; allowed: even"},
      {{{"attention_window", {4, 0}}}, "\"attention_window[1]\" is 0; allowed: an integer from 2"},
      {{{"attention_window", {4, 8, 8}}}, "a list of 3; allowed: a number, or a list of 2"},
      {{{"attention_window", "wide"}}, "\"attention_window\" is \"wide\""},
      {{{"num_attention_heads", 5}}, "\"hidden_size\" is 24; allowed: multiples of the 5"},
      {{{"hidden_size", -1}}, "\"hidden_size\" is -1; allowed: an integer from 1"},
      {{{"hidden_size", 24.5}}, "\"hidden_size\" is 24.5"},
      {{{"hidden_act", "geglu"}}, "geglu"},
      {{{"layer_norm_eps", 0}}, "\"layer_norm_eps\" is 0; allowed: a number above 0"},
      {{{"pad_token_id", 65}}, "\"pad_token_id\" is 65; allowed: an integer from 0 to 64"},
      {{{"vocab_size", 41}}, "embeddings.word_embeddings.weight"},
      {{{"num_hidden_layers", 3}, {"attention_window", 4}},
       "\"num_hidden_layers\" asks for 3 layers; allowed: at most 2"},
      {{{"longspan", {{"position_period", 64}}}},
       "\"longspan.position_period\" is 64; allowed: 0 to 63"},
      {{{"longspan", {{"default_global_attention", "all"}}}},
       "\"longspan.default_global_attention\" is \"all\"; allowed: \"none\", \"cls\""},
      {{{"longspan", 3}}, "\"longspan\" is 3; allowed: an object"},
      {{{"model_type", "t5"}}, "model_type is \"t5\"; known: longformer"},
  };
  const nlohmann::json good = config_;
  for (const BadConfig& bad : configs) {
    config_ = good;
    config_.update(bad.edit);
    const absl::Status status = TryLoad();
    EXPECT_FALSE(status.ok()) << bad.edit;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.text)) << bad.edit;
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << "one line";
  }
}

}  // namespace
}  // namespace longspan
