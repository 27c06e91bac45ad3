// KeyTable: what becomes of each key of one of a checkpoint's JSON files. A key is honoured (it is
// read and does what it does in the published libraries), harmless (it cannot change a vector
// there, so it is not read), or refused (it would change vectors and is not supported, so only
// the listed values are served).
//
// The table decides twice, so that it cannot drift from the code:
//   - CheckKeys compares a file with it when a folder is opened. A refused key is an error. A key
//     that no row names is a warning, since the published library ignores it too; where its name
//     speaks of something that a newer library might read ("rope_...", "lora_..."), it is an error.
//   - JsonReader, given the table, refuses to read a key that no row calls honoured.
// docs/checkpoints.md shows all tables; `longspan-model keys` prints them from this code.
//
// Plain values and free functions: thread safe. Proven by known_keys_test and, against the
// published library, by tests/parity/compare_keys.py.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace longspan {

enum class KeyRule { kHonoured, kHarmless, kRefused };
// "honoured", "harmless", "refused".
std::string_view KeyRuleName(KeyRule rule);

struct KnownKey {
  // The key, or for one inside an object its path: "longspan.window". A '*' stands for any one
  // component: "rope_parameters.*.factor".
  std::string_view key;
  KeyRule rule = KeyRule::kHonoured;
  // The model types that the row is for, with spaces between them. Empty = every one.
  std::string_view families;
  // Of a refused key: the values that are served all the same, as JSON with spaces between them.
  // null is always served: it means that the key is not given.
  std::string_view allowed;
  // One sentence for people: what the key does, or why it does nothing. `|` must not stand in it.
  std::string_view why;
};

struct KeyTable {
  std::string_view file;  // as people know it: "config.json", "1_Pooling/config.json"
  std::span<const KnownKey> keys;
};

// All tables, in the order of docs/checkpoints.md.
std::vector<const KeyTable*> KeyTables();

// Whether the row is for models of this type.
bool IsForFamily(const KnownKey& row, std::string_view family);

// The first row for this key and family; null where there is none. `family` empty finds rows for
// every family only.
const KnownKey* FindKey(const KeyTable& table, std::string_view family, std::string_view key);

// Whether the table calls the key honoured, or holds rows for keys inside the object under it.
bool CallsHonoured(const KeyTable& table, std::string_view family, std::string_view key);

// Compares the keys of `object`, those in nested objects included where the table has rows for
// them, with the table. `source` is the file's name in errors. Appends one line to `warnings` for
// each key that no row names, 21 at most. INVALID_ARGUMENT, one line: a refused key that holds a
// value which is not served, or an unknown key whose name says that it could change vectors.
absl::Status CheckKeys(const KeyTable& table, std::string_view family, const nlohmann::json& object,
                       const std::string& source, std::vector<std::string>* warnings);

// All tables as lines of Markdown: for each a heading with the file's name and one row a key.
std::string AllKeysMarkdown();

}  // namespace longspan
