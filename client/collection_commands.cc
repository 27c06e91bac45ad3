#include "client/collection_commands.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "client/answer_writer.h"
#include "client/cli_options.h"
#include "client/collection_text.h"
#include "client/encode_options.h"
#include "client/exit_code.h"

namespace longspan {
namespace {

constexpr size_t kMostIds = 10'000;  // of one DeleteDocuments, as the contract says

void AddPut(CLI::App* app, PutCommand* command) {
  AddCollectionName(app, "COLLECTION", &command->collection,
                    "its name; it is made where there is none")
      ->required();
  app->add_option("FILE", command->files,
                  "files, folders with all files below them, or - for standard input, as `search` "
                  "reads them; the id of a document is its path as it is given")
      ->required();
  app->add_option("--include", command->include,
                  "of folders: only files of such names, as '*.md' (may be given again)")
      ->allow_extra_args(false);
  AddDuration(app, "--ttl", &command->ttl, /*allow_zero=*/false,
              "forget these documents after so long; default: never");
  AddChoice(app, "--format", &command->format, {"int8", "two_bit"},
            "of a new collection; two_bit takes a third of the room; default: int8");
  app->add_option("--span-tokens", command->span_tokens,
                  "of a new collection: tokens of a passage, even, 8 to 8192; default: 64");
  app->add_option("--language", command->language,
                  "of a new collection: whose rules find the stems of words: english, german, ... "
                  "| none; default: english");
  app->add_option("--max-tokens", command->max_tokens,
                  "longest text in tokens, at most the server's limit; 0 = that limit")
      ->check(CLI::NonNegativeNumber);
  AddChoice(app, "--truncation", &command->truncation,
            {"reject", "head", "tail", "head_tail", "windows"},
            "for a text longer than the model takes; default: reject");
}

void AddDelete(CLI::App* app, DeleteCommand* command) {
  AddCollectionName(app, "COLLECTION", &command->collection, "its name")->required();
  CLI::Option* const ids = app->add_option("ID", command->ids, "of documents: their paths");
  app->add_flag("--all", command->all, "the collection with all its documents")->excludes(ids);
}

}  // namespace

CLI::Option* AddCollectionName(CLI::App* app, const std::string& option, std::string* name,
                               const std::string& description) {
  const auto check = [](const std::string& given) {
    return given.empty() ? std::string("the name of a collection is empty") : std::string();
  };
  return app->add_option(option, *name, description)->check(CLI::Validator(check, ""));
}

void AddCollectionCommands(CLI::App* app, CollectionCommands* commands) {
  CLI::App* const put = app->add_subcommand(
      "put", "keep documents in a collection, which is then searched without reading them again");
  AddPut(put, &commands->put);
  CLI::App* const list = app->add_subcommand("collections", "list the collections of documents");
  list->add_option("--format", commands->format, "text: for people | json: for scripts")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  CLI::App* const erase =
      app->add_subcommand("delete", "forget documents of a collection, or all of it");
  AddDelete(erase, &commands->erase);
  commands->put_app = put;
  commands->list_app = list;
  commands->delete_app = erase;
}

std::optional<int> RunCollectionCommand(const CommonOptions& common,
                                        const CollectionCommands& commands) {
  if (commands.put_app->parsed()) return RunPut(common, commands.put);
  if (commands.list_app->parsed()) return RunCollections(common, commands.format == "json");
  if (commands.delete_app->parsed()) return RunDelete(common, commands.erase);
  return std::nullopt;
}

int RunCollections(const CommonOptions& common, bool json) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const auto response = (*client)->ListCollections(common.deadline);
  if (!response.ok()) return FailCall(response.status());
  if (json) {
    std::printf("%s\n", JsonLine(*response).c_str());
  } else {
    std::printf("%s", CollectionsText(*response).c_str());
  }
  return kDone;
}

int RunDelete(const CommonOptions& common, const DeleteCommand& command) {
  if (!command.all && command.ids.empty()) return FailUsage("give ID, or --all");
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  uint64_t deleted = 0;
  size_t sent = 0;
  do {
    v1::DeleteDocumentsRequest request;
    request.set_collection(command.collection);
    request.set_all(command.all);
    const size_t end = std::min(command.ids.size(), sent + kMostIds);
    for (; sent < end; ++sent) request.add_ids(IdOfPath(command.ids[sent]));
    const auto response = (*client)->DeleteDocuments(request, common.deadline);
    if (!response.ok()) return FailCall(response.status());
    deleted += response->deleted();
  } while (sent < command.ids.size());
  std::printf("%s deleted\n", CountText(deleted, "document").c_str());
  return kDone;
}

}  // namespace longspan
