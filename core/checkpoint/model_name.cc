#include "core/checkpoint/model_name.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "absl/strings/str_replace.h"
#include "core/weights/one_line.h"

namespace longspan {
namespace {

// "org/name" of a folder of the hub's cache, "models--org--name"; empty where it is none. The hub
// allows no name with "--".
std::string NameInHub(const std::string& folder) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder.starts_with(kPrefix)) return "";
  return absl::StrReplaceAll(folder.substr(kPrefix.size()), {{"--", "/"}});
}

}  // namespace

std::string ModelName(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(folder, error);
  std::filesystem::path path =
      (error ? std::filesystem::path(folder) : absolute).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "folder/"
  std::string name = path.filename().string();
  const std::filesystem::path above = path.parent_path();
  if (above.filename() == "snapshots") {
    const std::string in_hub = NameInHub(above.parent_path().filename().string());
    if (!in_hub.empty()) name = in_hub;
  }
  return PrintableName(name);
}

std::string PrintableName(const std::string& name) {
  const nlohmann::json line = OneLine(name);
  const auto replace = nlohmann::json::error_handler_t::replace;  // U+FFFD for what is not UTF-8
  return nlohmann::json::parse(line.dump(-1, ' ', false, replace)).get<std::string>();
}

}  // namespace longspan
