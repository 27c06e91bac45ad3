// Any bytes as a tokenizer's files: the input is cut at a byte 0x1E into tokenizer.json and
// tokenizer_config.json. They are refused in one line, or give a tokenizer that reads texts by the
// rules of tokenization_rules.h.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "fuzz_folder.h"
#include "tokenization_rules.h"

namespace longspan {
namespace {

void Check(std::string_view input) {
  const std::string& folder = FuzzFolder("tokenizer_file_fuzz");
  const std::string_view json = input.substr(0, input.find('\x1E'));
  input.remove_prefix(std::min(input.size(), json.size() + 1));
  WriteFuzzFile(folder + "/tokenizer.json", json);
  std::filesystem::remove(folder + "/tokenizer_config.json");
  if (!input.empty()) WriteFuzzFile(folder + "/tokenizer_config.json", input);
  const auto tokenizer = Tokenizer::Load(folder);
  if (!tokenizer.ok())
    return RequireOf(tokenizer.status().message().find('\n') == absl::string_view::npos);
  for (const std::string_view text :
       {std::string_view("a"), std::string_view("the Court shall\treport."),
        std::string_view("\xC3\xA9\xCC\x81 \xE6\xBC\xA2\xE5\xAD\x97 \xF0\x9F\x98\x80 [CLS]</s>")}) {
    const auto tokens = (*tokenizer)->Encode(text);
    // A vocabulary may lack what a text needs, and say so.
    if (tokens.ok()) CheckTokenization(text, *tokens, **tokenizer);
  }
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
