#include "client/search_files.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/answer_writer.h"
#include "client/encode_options.h"
#include "client/exit_code.h"
#include "client/kept_search.h"
#include "client/search_text.h"
#include "client/text_source.h"

namespace longspan {

v1::SearchOptions OptionsOf(const SearchCommand& command, bool colour) {
  v1::SearchOptions options;
  options.set_max_documents(command.limit);
  options.set_max_spans(command.spans);
  options.set_span_tokens(command.span_tokens);
  options.set_language(command.language);
  options.set_max_tokens(static_cast<uint64_t>(command.max_tokens));
  options.set_document_prompt_name(command.prompt_name);
  v1::Truncation truncation = v1::TRUNCATION_UNSPECIFIED;
  // Documents of a collection have been read.
  if (command.collection.empty() &&
      v1::Truncation_Parse("TRUNCATION_" + absl::AsciiStrToUpper(command.truncation), &truncation))
    options.set_truncation(truncation);
  if (command.late_weight >= 0) options.set_late_weight(command.late_weight);
  if (command.lexical_weight >= 0) options.set_lexical_weight(command.lexical_weight);
  options.set_best_tokens(colour);  // which are underlined
  return options;
}

namespace {

// One search over all files, which are held until their passages are printed.
class Search {
 public:
  Search(const CommonOptions& common, const SearchCommand& command, bool colour)
      : common_(common), command_(command), colour_(colour) {}

  int Run() {
    const auto client = Client::Connect(common_.client);
    if (!client.ok()) return Fail(kBadFile, client.status());
    const auto info = (*client)->GetModelInfo(common_.deadline);
    if (!info.ok()) return FailCall(info.status());
    TextSource source({.paths = command_.files,
                       .include = command_.include,
                       .max_bytes = static_cast<int64_t>(info->limits().max_text_bytes()),
                       .documents = true});
    if (const absl::Status status = Read(source, info->limits()); !status.ok())
      return Fail(kBadFile, status);
    const auto response = (*client)->Search(request_, common_.deadline);
    if (!response.ok()) return FailCall(response.status());
    Print(*response);
    return source.errors() > 0 ? kBadFile : kDone;
  }

 private:
  absl::Status Read(TextSource& source, const v1::Limits& limits) {
    uint64_t bytes = 0;
    while (auto text = source.Next()) {
      bytes += text->text.size();
      const uint64_t most_texts = limits.max_texts_per_request();  // 0 = no limit
      const uint64_t most_bytes = limits.max_request_bytes();
      if ((most_texts > 0 && files_.size() == most_texts) ||
          (most_bytes > 0 && bytes > most_bytes)) {
        return absl::InvalidArgumentError(
            absl::StrCat("there are more files than one search takes: at most ", most_texts,
                         " with ", most_bytes, " bytes together; give fewer, or --include"));
      }
      v1::SearchDocument* document = request_.add_documents();
      document->set_id(IdOfPath(text->path));
      document->set_text(text->text);
      files_.push_back({.name = document->id(),
                        .document = {.text = std::move(text->text), .kind = text->kind}});
    }
    if (files_.empty()) return absl::NotFoundError("there is no text to search in");
    request_.set_query(command_.query);
    *request_.mutable_options() = OptionsOf(command_, colour_);
    return absl::OkStatus();
  }

  void Print(const v1::SearchResponse& response) const {
    if (command_.format == "json") {
      std::printf("%s\n", JsonLine(response).c_str());
      return;
    }
    int rank = 0;
    for (const v1::SearchResult& result : response.results())
      std::printf(
          "%s",
          ResultText(++rank, files_[result.index()], result, command_.query, colour_).c_str());
    const double seconds = static_cast<double>(response.timings().total_ns()) * 1e-9;
    std::fprintf(stderr, "%zu %s, %llu tokens read in %.1f s\n", files_.size(),
                 files_.size() == 1 ? "text" : "texts",
                 static_cast<unsigned long long>(response.documents_tokens()), seconds);
  }

  const CommonOptions& common_;
  const SearchCommand& command_;
  const bool colour_;
  v1::SearchRequest request_;
  std::vector<SearchedFile> files_;  // in the order of the request
};

}  // namespace

int RunSearch(const CommonOptions& common, const SearchCommand& command, bool plain) {
  const bool colour = command.format == "text" &&
                      (command.colour == "always" ||
                       (command.colour == "auto" && !plain && isatty(STDOUT_FILENO) == 1));
  if (!command.collection.empty()) return SearchKept(common, command, colour);
  if (command.files.empty()) return FailUsage("give FILE, or --collection NAME");
  return Search(common, command, colour).Run();
}

}  // namespace longspan
