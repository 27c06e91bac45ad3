#include "client/text_source.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/summary.h"
#include "client/text_file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLookedAt = 8192;  // bytes in which a binary file shows, as git looks at them

std::string NameOf(const std::string& path) { return fs::path(path).filename().string(); }

bool LooksBinary(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char bytes[kLookedAt];
  file.read(bytes, sizeof(bytes));
  return std::find(bytes, bytes + file.gcount(), '\0') != bytes + file.gcount();
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return path != "-" && fs::is_directory(path, error);
}

}  // namespace

TextSource::TextSource(const Options& options)
    : include_(options.include), max_bytes_(options.max_bytes), documents_(options.documents) {
  for (const std::string& path : options.paths) pending_.push_back({path});
}

std::optional<TextSource::Text> TextSource::Next() {
  while (!pending_.empty()) {
    Place place = std::move(pending_.front());
    pending_.pop_front();
    if (IsFolder(place.path)) {
      OpenFolder(place);
    } else if (IsWanted(place)) {
      auto text = Read(place.path);
      if (text.ok()) return *std::move(text);
      Fail(text.status());
    }
  }
  return std::nullopt;
}

absl::StatusOr<TextSource::Text> TextSource::Read(const std::string& path) const {
  if (documents_) {
    auto document = ReadDocument(path, max_bytes_);
    if (!document.ok()) return document.status();
    return Text{path, std::move(document->text), document->kind};
  }
  auto text = ReadTextFile(path);
  if (!text.ok()) return text.status();
  return Text{path, *std::move(text)};
}

void TextSource::Skip(const Place& place, const char* why) const {
  std::fprintf(stderr, "longspan: skipped: %s is %s\n",
               JoinLines(place.path, std::string::npos).c_str(), why);
}

void TextSource::Fail(const absl::Status& status) {
  ++errors_;
  std::fprintf(stderr, "longspan: %s: %s\n", absl::StatusCodeToString(status.code()).c_str(),
               JoinLines(std::string(status.message()), std::string::npos).c_str());
}

void TextSource::OpenFolder(const Place& place) {
  std::error_code error;
  if (place.found && fs::is_symlink(place.path, error)) return Skip(place, "a link to a folder");
  std::vector<Place> held;
  for (fs::directory_iterator entry(place.path, error), end; !error && entry != end;
       entry.increment(error))
    held.push_back({entry->path().string(), /*found=*/true});
  if (error) {
    return Fail(absl::NotFoundError(
        absl::StrCat("folder ", place.path, " cannot be read: ", error.message())));
  }
  std::sort(held.begin(), held.end(),
            [](const Place& a, const Place& b) { return a.path < b.path; });
  std::vector<Place> kept;
  for (Place& each : held) {
    if (NameOf(each.path).starts_with(".")) {
      Skip(each, "hidden");
    } else {
      kept.push_back(std::move(each));
    }
  }
  pending_.insert(pending_.begin(), std::make_move_iterator(kept.begin()),
                  std::make_move_iterator(kept.end()));
}

bool TextSource::IsWanted(const Place& place) {
  if (place.path == "-") return true;
  std::error_code error;
  const bool is_file = fs::is_regular_file(place.path, error);
  const bool is_converted = documents_ && is_file && IsReadByAProgram(place.path);
  if (place.found) {
    const std::string name = NameOf(place.path);
    const auto matches = [&name](const std::string& pattern) {
      return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    };
    if (!include_.empty() && std::none_of(include_.begin(), include_.end(), matches)) return false;
    if (!is_file && fs::exists(place.path, error)) return Skip(place, "no file"), false;
    if (is_file && fs::file_size(place.path, error) == 0) return Skip(place, "empty"), false;
    if (is_file && !is_converted && LooksBinary(place.path)) return Skip(place, "binary"), false;
  }
  // What is wrong shows when it is read.
  if (!is_file || is_converted || max_bytes_ == 0) return true;
  const auto bytes = static_cast<int64_t>(fs::file_size(place.path, error));
  if (error || bytes <= max_bytes_) return true;
  Fail(absl::InvalidArgumentError(
      absl::StrCat(place.path, " has ", bytes, " bytes; this server takes at most ", max_bytes_)));
  return false;
}

}  // namespace longspan
