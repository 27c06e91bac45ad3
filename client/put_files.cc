#include "client/put_files.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/collection_text.h"
#include "client/encode_options.h"
#include "client/exit_code.h"
#include "client/steady_now.h"
#include "client/summary.h"
#include "client/text_source.h"

namespace longspan {
namespace {

// Texts of one call: some 250,000 tokens, which a server of a few cores reads within the deadline.
constexpr size_t kMostBytes = 1 << 20;

v1::PutOptions OptionsOf(const PutCommand& command) {
  v1::PutOptions options;
  v1::Truncation truncation = v1::TRUNCATION_UNSPECIFIED;
  if (v1::Truncation_Parse("TRUNCATION_" + absl::AsciiStrToUpper(command.truncation), &truncation))
    options.set_truncation(truncation);
  options.set_max_tokens(static_cast<uint64_t>(command.max_tokens));
  if (command.ttl > absl::ZeroDuration())
    options.set_ttl_seconds(absl::ToDoubleSeconds(command.ttl));
  if (command.format == "int8") options.set_format(v1::KEPT_FORMAT_INT8);
  if (command.format == "two_bit") options.set_format(v1::KEPT_FORMAT_TWO_BIT);
  options.set_span_tokens(command.span_tokens);
  options.set_language(command.language);
  return options;
}

// The index of the document that a call was refused for, as "documents[3].text has ...".
std::optional<int> DocumentAtFault(const absl::Status& status) {
  constexpr std::string_view kBegin = "documents[";
  const std::string message(status.message());
  if (!absl::IsInvalidArgument(status) || !message.starts_with(kBegin)) return std::nullopt;
  int index = 0;
  if (!absl::SimpleAtoi(message.substr(kBegin.size(), message.find(']') - kBegin.size()), &index))
    return std::nullopt;
  return index;
}

// The work on all files of one command.
class Files {
 public:
  Files(Client* client, const CommonOptions& common, const PutCommand& command,
        const v1::Limits& limits)
      : client_(client),
        deadline_(common.deadline),
        collection_(command.collection),
        options_(OptionsOf(command)),
        most_documents_(limits.max_texts_per_request() > 0 ? limits.max_texts_per_request()
                                                           : std::numeric_limits<uint64_t>::max()),
        // A tenth is left for the options and for what frames each document.
        most_bytes_(limits.max_request_bytes() > 0
                        ? std::min<size_t>(kMostBytes, limits.max_request_bytes() / 10 * 9)
                        : kMostBytes),
        source_({.paths = command.files,
                 .include = command.include,
                 .max_bytes = static_cast<int64_t>(limits.max_text_bytes()),
                 .documents = true}) {}

  int Run() {
    const absl::Time start = SteadyNow();
    absl::Status status;
    while (status.ok()) {
      v1::PutDocumentsRequest request = NextRequest();
      if (request.documents().empty()) break;
      status = Put(&request);
    }
    if (kept_ > 0) PrintSummary(SteadyNow() - start);
    if (!status.ok()) return FailCall(status);
    if (refused_ > 0) return kServerError;
    if (source_.errors() > 0) return kBadFile;
    return kept_ > 0 ? kDone : Fail(kBadFile, absl::NotFoundError("there is no text to keep"));
  }

 private:
  // The next documents, as many as one call takes; without any at the end.
  v1::PutDocumentsRequest NextRequest() {
    v1::PutDocumentsRequest request;
    request.set_collection(collection_);
    *request.mutable_options() = options_;
    size_t bytes = 0;
    while (static_cast<uint64_t>(request.documents_size()) < most_documents_) {
      if (!next_.has_value()) next_ = NextDocument();
      if (!next_.has_value()) break;
      bytes += next_->ByteSizeLong();
      if (request.documents_size() > 0 && bytes > most_bytes_) break;
      *request.add_documents() = *std::exchange(next_, std::nullopt);
    }
    return request;
  }

  std::optional<v1::SearchDocument> NextDocument() {
    while (auto text = source_.Next()) {
      v1::SearchDocument document;
      document.set_id(IdOfPath(text->path));
      document.set_text(std::move(text->text));
      // Else the second would be refused, or, of another call, take the place of the first.
      if (ids_.insert(document.id()).second) return document;
      std::fprintf(stderr, "longspan: skipped: %s is given twice\n",
                   JoinLines(document.id(), std::string::npos).c_str());
    }
    return std::nullopt;
  }

  // A document that is refused is a line on stderr, and the others are put without it.
  absl::Status Put(v1::PutDocumentsRequest* request) {
    while (!request->documents().empty()) {
      const auto response = client_->PutDocuments(*request, deadline_);
      if (response.ok()) {
        Take(*response);
        break;
      }
      const std::optional<int> at_fault = DocumentAtFault(response.status());
      if (!at_fault.has_value() || *at_fault < 0 || *at_fault >= request->documents_size())
        return response.status();
      ++refused_;
      Fail(kServerError, response.status());
      request->mutable_documents()->DeleteSubrange(*at_fault, 1);
    }
    return absl::OkStatus();
  }

  void Take(const v1::PutDocumentsResponse& response) {
    if (kept_ == 0) std::printf("%10s %9s  %s\n", "tokens", "truncated", "id");
    for (const v1::PutResult& result : response.results()) {
      tokens_ += result.tokens_used();
      std::printf("%10llu %9s  %s\n", static_cast<unsigned long long>(result.tokens_used()),
                  result.truncated() ? "yes" : "", PrintableText(result.id()).c_str());
    }
    std::fflush(stdout);  // how far it has come
    kept_ += static_cast<uint64_t>(response.results_size());
    replaced_ += response.replaced();
    last_ = response.collection();
  }

  void PrintSummary(absl::Duration wall) const {
    std::fprintf(stderr, "%s kept in %s, %llu in the place of others; %s read in %.1f s\n",
                 CountText(kept_, "document").c_str(), collection_.c_str(),
                 static_cast<unsigned long long>(replaced_), CountText(tokens_, "token").c_str(),
                 absl::ToDoubleSeconds(wall));
    std::fprintf(stderr, "%s has %s\n", collection_.c_str(), ContentsText(last_).c_str());
  }

  Client* const client_;
  const absl::Duration deadline_;
  const std::string collection_;
  const v1::PutOptions options_;
  const uint64_t most_documents_;
  const size_t most_bytes_;
  TextSource source_;
  std::optional<v1::SearchDocument> next_;  // was read, and did not fit in the call before
  std::unordered_set<std::string> ids_;     // of all that were read
  uint64_t kept_ = 0, replaced_ = 0, refused_ = 0, tokens_ = 0;
  v1::Collection last_;  // after the last call
};

}  // namespace

int RunPut(const CommonOptions& common, const PutCommand& command) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const auto info = (*client)->GetModelInfo(common.deadline);
  if (!info.ok()) return FailCall(info.status());
  return Files(client->get(), common, command, info->limits()).Run();
}

}  // namespace longspan
