#include "client/kept_search.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/answer_writer.h"
#include "client/collection_text.h"
#include "client/document_file.h"
#include "client/exit_code.h"

namespace longspan {
namespace {

// A byte that begins a character of UTF-8.
bool BeginsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

bool IsPlace(std::string_view text, uint64_t byte, uint64_t character) {
  if (byte > text.size() || (byte < text.size() && !BeginsCharacter(text[byte]))) return false;
  const std::string_view before = text.substr(0, byte);
  return static_cast<uint64_t>(std::count_if(before.begin(), before.end(), BeginsCharacter)) ==
         character;
}

bool HoldsPassages(std::string_view text, const v1::SearchResult& result) {
  return std::all_of(result.spans().begin(), result.spans().end(), [text](const auto& span) {
    return span.bytes().begin() <= span.bytes().end() &&
           IsPlace(text, span.bytes().begin(), span.characters().begin()) &&
           IsPlace(text, span.bytes().end(), span.characters().end());
  });
}

void Print(const SearchCommand& command, const v1::SearchResponse& response, int64_t max_bytes,
           bool colour) {
  int rank = 0;
  for (const v1::SearchResult& result : response.results()) {
    const std::string text =
        ResultText(++rank, KeptFile(result, max_bytes), result, command.query, colour);
    std::printf("%s", text.c_str());
  }
  std::fprintf(stderr, "%s in %s, searched in %.0f ms\n",
               CountText(response.documents_tokens(), "token").c_str(),
               PrintableText(command.collection).c_str(),
               static_cast<double>(response.timings().total_ns()) * 1e-6);
}

}  // namespace

int SearchKept(const CommonOptions& common, const SearchCommand& command, bool colour) {
  const auto client = Client::Connect(common.client);
  if (!client.ok()) return Fail(kBadFile, client.status());
  const auto info = (*client)->GetModelInfo(common.deadline);
  if (!info.ok()) return FailCall(info.status());
  v1::SearchRequest request;
  request.set_query(command.query);
  request.set_collection(command.collection);
  *request.mutable_options() = OptionsOf(command, colour);
  const auto response = (*client)->Search(request, common.deadline);
  if (!response.ok()) return FailCall(response.status());
  if (command.format == "json") {
    std::printf("%s\n", JsonLine(*response).c_str());
  } else {
    Print(command, *response, static_cast<int64_t>(info->limits().max_text_bytes()), colour);
  }
  return kDone;
}

SearchedFile KeptFile(const v1::SearchResult& result, int64_t max_bytes) {
  const std::string& path = result.id();
  SearchedFile file{.name = PrintableText(path), .document = {}, .has_text = false};
  // No device or pipe, whose reading need not end.
  std::error_code error;
  if (path.find('\0') != std::string::npos || !std::filesystem::is_regular_file(path, error))
    return file;
  auto document = ReadDocument(path, max_bytes);
  if (document.ok() && !HoldsPassages(document->text, result)) {
    document = absl::FailedPreconditionError(
        absl::StrCat(path, " has changed since it was put; its passages are not shown"));
  }
  if (document.ok()) {
    file.document = *std::move(document);
    file.has_text = true;
  } else {
    const absl::Status status(document.status().code(),
                              PrintableText(std::string(document.status().message())));
    Fail(kBadFile, status);
  }
  return file;
}

}  // namespace longspan
