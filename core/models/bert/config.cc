#include "core/models/bert/config.h"

#include "core/checkpoint/json_reader.h"

namespace longspan {
namespace {

constexpr EncoderConfigKeys kBertKeys = {.vocab_size = {"vocab_size", 30522}};
constexpr EncoderConfigKeys kRobertaKeys = {.vocab_size = {"vocab_size", 50265},
                                            .pad_token_id = {"pad_token_id", 1},
                                            .positions_behind_pad = true};

}  // namespace

absl::StatusOr<BertConfig> ParseBertConfig(const nlohmann::json& json, BertFamily family,
                                           const std::string& source) {
  JsonReader reader =
      ConfigReader(json, family == BertFamily::kRoberta ? "roberta" : "bert", source);
  BertConfig config;
  ReadEncoderConfig(reader, family == BertFamily::kRoberta ? kRobertaKeys : kBertKeys, config);

  JsonReader ours = reader.Object("longspan");
  const int64_t window = ours.Integer("window", {.fallback = 0, .max = 1 << 24});
  if (window % 2 != 0)
    ours.Fail("window", std::to_string(window),
              "even numbers (half of it lies on each side); 0 = none");
  config.window = window / 2;
  reader.Merge(ours);
  if (!reader.status().ok()) return reader.status();
  return config;
}

}  // namespace longspan
