#include <iostream>
#include <memory>

#include "core/checkpoint/known_keys.h"
#include "core/tools/commands.h"

namespace longspan {
namespace {

nlohmann::json RowsJson() {
  nlohmann::json rows = nlohmann::json::array();
  for (const KeyTable* table : KeyTables()) {
    for (const KnownKey& row : table->keys) {
      rows.push_back({{"file", table->file},
                      {"key", row.key},
                      {"rule", KeyRuleName(row.rule)},
                      {"models", row.families},
                      {"allowed", row.allowed},
                      {"why", row.why}});
    }
  }
  return rows;
}

}  // namespace

void AddKeysCommand(CLI::App& app) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand(
      "keys",
      "What becomes of each key of a checkpoint's JSON files: the table of docs/checkpoints.md");
  command->add_flag("--json", *as_json, "print JSON");
  command->callback([as_json] {
    if (*as_json)
      std::cout << RowsJson().dump(2) << "\n";
    else
      std::cout << AllKeysMarkdown();
  });
}

}  // namespace longspan
