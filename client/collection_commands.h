// The commands of kept documents: `longspan put` (client/put_files.h), `collections` and `delete`.
// `longspan search --collection` is in client/kept_search.h.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "client/commands.h"
#include "client/put_files.h"

namespace longspan {

struct DeleteCommand {
  std::string collection;
  std::vector<std::string> ids;
  bool all = false;  // the collection with all its documents; without ids
};

// What the command line says of these commands.
struct CollectionCommands {
  PutCommand put;
  DeleteCommand erase;
  std::string format = "text";  // of `collections`: text | json
  // Of the command line that AddCollectionCommands was given.
  const CLI::App* put_app = nullptr;
  const CLI::App* list_app = nullptr;
  const CLI::App* delete_app = nullptr;
};

// Adds the commands with their options; `commands` outlives the parsing.
void AddCollectionCommands(CLI::App* app, CollectionCommands* commands);

// Adds an option or argument that takes the name of a collection.
CLI::Option* AddCollectionName(CLI::App* app, const std::string& option, std::string* name,
                               const std::string& description);

// Runs the one that was parsed and returns the exit code; nothing where it was none of them.
std::optional<int> RunCollectionCommand(const CommonOptions& common,
                                        const CollectionCommands& commands);

// `json`: for scripts; else for people.
int RunCollections(const CommonOptions& common, bool json);
// Ids that the collection does not have are passed over.
int RunDelete(const CommonOptions& common, const DeleteCommand& command);

}  // namespace longspan
