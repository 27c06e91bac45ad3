// Names of collections and of their owners, and where their files lie:
//
//   DIRECTORY/owner-search_2dteam/contracts.longspan
//
// An owner's name is encoded byte by byte, so that no owner can name the folder of another: letters
// and digits stand for themselves, all else is "_" and two hexadecimal digits. The owner without a
// name, of a server without keys, is "owner-".
//
// Free functions without state: thread safe. Proven by collections_test.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace longspan {

inline constexpr size_t kMaxCollectionNameBytes = 64;

// INVALID_ARGUMENT with the field "collection" where it is no name: 1 to 64 of A-Z a-z 0-9 . _ -,
// not starting with a dot.
absl::Status CheckCollectionName(std::string_view name);

std::string OwnerFolder(std::string_view owner);
// nullopt where no owner has this folder.
std::optional<std::string> OwnerOfFolder(std::string_view folder);

std::string CollectionFile(std::string_view name);
// nullopt where no collection has this file.
std::optional<std::string> CollectionOfFile(std::string_view file);

}  // namespace longspan
