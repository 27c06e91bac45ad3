// Tokenises and encodes the texts of model folders for compare_tokenizer_files.py.
//
// Each line on stdin names a folder, whose texts.json is a list of texts. FOLDER/got.json gets for
// each of them {"ids", "types", "vector"}: what the tokenizer makes of it, and the text's vector.
// "types" is empty where all are 0 or the model is not given them. The answer to the line is "ok"
// or the error.
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/encoder.h"
#include "core/tokenizer/tokenizer.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

absl::StatusOr<nlohmann::json> EncodeText(const Tokenizer& tokenizer, const Encoder& encoder,
                                          const std::string& text) {
  absl::StatusOr<Tokenization> tokens = tokenizer.Encode(text);
  if (!tokens.ok()) return tokens.status();
  if (encoder.info().num_token_types == 0) tokens->types.clear();
  const TokenBatch::Text one = {.token_ids = tokens->ids, .token_types = tokens->types};
  const std::vector<EncodeOptions> options(1);
  if (absl::Status status = encoder.Validate(one, options[0]); !status.ok()) return status;
  TokenBatch batch;
  batch.Add(one);
  const auto results = encoder.Encode(batch, options);
  if (!results[0].ok()) return results[0].status();
  return nlohmann::json{
      {"ids", tokens->ids}, {"types", tokens->types}, {"vector", results[0]->vector}};
}

absl::Status EncodeFolder(const std::string& folder) {
  const auto tokenizer = Tokenizer::Load(folder);
  if (!tokenizer.ok()) return tokenizer.status();
  const auto encoder = Encoder::Load(folder, {.num_threads = 1});
  if (!encoder.ok()) return encoder.status();
  nlohmann::json answers = nlohmann::json::array();
  for (const std::string text : nlohmann::json::parse(std::ifstream(folder + "/texts.json"))) {
    absl::StatusOr<nlohmann::json> answer = EncodeText(**tokenizer, **encoder, text);
    if (!answer.ok()) return answer.status();
    answers.push_back(*std::move(answer));
  }
  std::ofstream(folder + "/got.json") << answers;
  return absl::OkStatus();
}

}  // namespace
}  // namespace longspan

int main() {
  for (std::string folder; std::getline(std::cin, folder);) {
    const absl::Status status = longspan::EncodeFolder(folder);
    std::cout << (status.ok() ? "ok" : std::string(status.message())) << std::endl;
  }
  return 0;
}
