#include "server/collections/collection_name.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

constexpr std::string_view kOwnerPrefix = "owner-";
constexpr std::string_view kFileEnding = ".longspan";

bool IsAlnum(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

}  // namespace

absl::Status CheckCollectionName(std::string_view name) {
  const bool all_allowed = std::all_of(name.begin(), name.end(), [](char c) {
    return IsAlnum(c) || std::string_view("._-").find(c) != std::string_view::npos;
  });
  if (all_allowed && !name.empty() && name.size() <= kMaxCollectionNameBytes && name[0] != '.')
    return absl::OkStatus();
  return InvalidField("collection",
                      absl::StrCat("is ", Quoted(name), "; allowed: 1 to ", kMaxCollectionNameBytes,
                                   " of A-Z a-z 0-9 . _ -, not starting with a dot"));
}

std::string OwnerFolder(std::string_view owner) {
  std::string folder(kOwnerPrefix);
  for (const char c : owner) {
    if (IsAlnum(c)) {
      folder.push_back(c);
    } else {
      absl::StrAppend(&folder, "_", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return folder;
}

std::optional<std::string> OwnerOfFolder(std::string_view folder) {
  if (!folder.starts_with(kOwnerPrefix)) return std::nullopt;
  std::string owner;
  for (size_t i = kOwnerPrefix.size(); i < folder.size(); ++i) {
    if (folder[i] != '_') {
      owner.push_back(folder[i]);
      continue;
    }
    const std::string digits(folder.substr(i + 1, 2));
    if (digits.size() < 2 || !std::all_of(digits.begin(), digits.end(), [](char c) {
          return absl::ascii_isxdigit(static_cast<unsigned char>(c));
        }))
      return std::nullopt;
    owner.append(absl::HexStringToBytes(digits));
    i += 2;
  }
  // One folder for each owner.
  return OwnerFolder(owner) == folder ? std::optional(owner) : std::nullopt;
}

std::string CollectionFile(std::string_view name) { return std::string(name).append(kFileEnding); }

std::optional<std::string> CollectionOfFile(std::string_view file) {
  if (!file.ends_with(kFileEnding)) return std::nullopt;
  const std::string_view name = file.substr(0, file.size() - kFileEnding.size());
  return CheckCollectionName(name).ok() ? std::optional(std::string(name)) : std::nullopt;
}

}  // namespace longspan
