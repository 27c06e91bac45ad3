#include "server/rpc/watched_files.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Far above any chain of certificates, bundle of authorities or list of keys.
constexpr size_t kMaxFileBytes = size_t{1} << 20;

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

// One hash for all contents. The lengths are hashed too, so that no byte can move from one file to
// the next unseen.
std::string HashOf(const WatchedFiles::Contents& contents) {
  std::string all;
  for (const std::string& content : contents) absl::StrAppend(&all, content.size(), ":", content);
  std::string hash(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(all.data()), all.size(),
         reinterpret_cast<unsigned char*>(hash.data()));
  return hash;
}

}  // namespace

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  // O_NONBLOCK: a pipe under this name must not hang the reader.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Bad(absl::StrCat("cannot be read: ", std::strerror(errno)));
  const absl::Cleanup closer = [file] { close(file); };
  struct stat before {};
  if (fstat(file, &before) != 0) return Bad(absl::StrCat("cannot be read: ", std::strerror(errno)));
  if (S_ISDIR(before.st_mode)) return Bad("is a folder");
  if (!S_ISREG(before.st_mode)) return Bad("is not a regular file");
  std::string content(kMaxFileBytes + 1, '\0');
  size_t size = 0;
  while (size < content.size()) {
    const ssize_t count = read(file, content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Bad(absl::StrCat("cannot be read: ", std::strerror(errno)));
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  if (size > kMaxFileBytes)
    return Bad(absl::StrCat("has more than ", kMaxFileBytes, " bytes, the most that is read"));
  struct stat after {};
  if (fstat(file, &after) != 0 || static_cast<size_t>(after.st_size) != size ||
      after.st_mtim.tv_sec != before.st_mtim.tv_sec ||
      after.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
    return Bad("was written to while it was read");
  content.resize(size);
  content.shrink_to_fit();
  return content;
}

absl::StatusOr<WatchedFiles::Contents> WatchedFiles::ReadAll() const {
  Contents contents;
  for (const File& file : files_) {
    auto content = ReadSmallFile(file.path);
    if (!content.ok())
      return Bad(absl::StrCat(file.setting, " ", file.path, " ", content.status().message()));
    contents.push_back(*std::move(content));
  }
  return contents;
}

absl::Status WatchedFiles::Load() {
  if (empty()) return absl::OkStatus();
  const auto contents = ReadAll();
  if (!contents.ok()) return contents.status();
  if (absl::Status status = take_(*contents); !status.ok()) return status;
  in_force_ = HashOf(*contents);
  return absl::OkStatus();
}

WatchedFiles::Seen WatchedFiles::Refuse(const absl::Status& why) {
  num_refused_.fetch_add(1, std::memory_order_relaxed);
  const bool is_news = last_reason_ != why.message();
  last_reason_ = std::string(why.message());
  return {.change = Change::kRefused, .why = why, .is_news = is_news};
}

WatchedFiles::Seen WatchedFiles::Look(bool at_once) {
  if (empty()) return {};
  auto contents = ReadAll();
  if (!contents.ok()) {
    last_seen_.clear();
    return Refuse(contents.status());
  }
  const std::string hash = HashOf(*contents);
  if (hash == in_force_) {
    last_seen_.clear();
    last_reason_.clear();
    return {};
  }
  if (at_once && hash != last_seen_) {
    const auto again = ReadAll();
    if (again.ok() && HashOf(*again) == hash) last_seen_ = hash;
  }
  if (std::exchange(last_seen_, hash) != hash) return {.change = Change::kPending};
  if (const absl::Status status = take_(*contents); !status.ok()) return Refuse(status);
  in_force_ = hash;
  last_seen_.clear();
  last_reason_.clear();
  num_taken_.fetch_add(1, std::memory_order_relaxed);
  return {.change = Change::kTaken};
}

}  // namespace longspan
