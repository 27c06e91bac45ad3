#include "server/tei/tei_errors.h"

#include <string>
#include <string_view>

#include "server/wire/renamed_field.h"

namespace longspan {
namespace {

std::string TeiName(std::string_view field) {
  if (field == "inputs.text") return "inputs";
  if (field == "options.dimensions") return "dimensions";
  if (field == "options.prompt_name") return "prompt_name";
  return "";
}

}  // namespace

absl::Status InTeiWords(const absl::Status& status) {
  return RenamedField(status, TeiName, "(set truncate)");
}

}  // namespace longspan
