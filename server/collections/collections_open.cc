// What a start finds in the directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/collections/collection_name.h"
#include "server/collections/collections.h"

namespace longspan {
namespace {

// Readable by nobody else. Where it is there already, it stays as it is.
absl::Status MakePrivateFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) == 0)
    return SyncFolder(std::filesystem::path(path).parent_path().string());
  return errno == EEXIST ? absl::OkStatus() : SystemError("cannot be made", errno);
}

absl::StatusOr<std::vector<std::string>> NamesIn(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error))
    names.push_back(at->path().filename().string());
  if (error) return OfFile(folder, SystemError("cannot be read", error.value()));
  std::sort(names.begin(), names.end());
  return names;
}

// A file that would have taken the place of a collection's.
bool IsLeftOver(const std::string& file) {
  const std::string ending = RecordFile::TemporaryPath("");
  return file.ends_with(ending) &&
         CollectionOfFile(file.substr(0, file.size() - ending.size())).has_value();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Collections>> Collections::Open(CollectionsOptions options,
                                                               std::vector<std::string>* lines) {
  const FileHeader header{.model_fingerprint = options.model_fingerprint};
  if (absl::Status status = CheckFileHeader(header); !status.ok()) return status;
  if (!options.directory.empty())
    options.directory = std::filesystem::absolute(options.directory).lexically_normal().string();
  while (options.directory.size() > 1 && options.directory.back() == '/')
    options.directory.pop_back();
  auto collections = std::unique_ptr<Collections>(new Collections(std::move(options)));
  if (collections->options_.directory.empty()) return collections;
  if (absl::Status status = collections->OpenDirectory(lines); !status.ok()) return status;
  return collections;
}

absl::Status Collections::OpenDirectory(std::vector<std::string>* lines) {
  const std::string& path = options_.directory;
  if (absl::Status status = MakePrivateFolder(path); !status.ok()) return OfFile(path, status);
  directory_ = OpenFile(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory_.is_open()) return OfFile(path, SystemError("cannot be opened", errno));
  if (absl::Status status = Lock(directory_.get()); !status.ok()) return OfFile(path, status);
  const auto folders = NamesIn(path);
  if (!folders.ok()) return folders.status();
  for (const std::string& folder : *folders) {
    const std::optional<std::string> owner = OwnerOfFolder(folder);
    if (!owner.has_value()) {
      lines->push_back(absl::StrCat(path, "/", folder, ": left alone: no folder of collections"));
    } else if (absl::Status status = OpenOwner(*owner, lines); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Collections::OpenOwner(const std::string& owner, std::vector<std::string>* lines) {
  const std::string folder = FolderOf(owner);
  const auto files = NamesIn(folder);
  if (!files.ok()) return files.status();
  for (const std::string& file : *files) {
    const std::string path = absl::StrCat(folder, "/", file);
    if (const std::optional<std::string> name = CollectionOfFile(file); name.has_value()) {
      Entry entry = OpenCollection(owner, *name, lines);
      if (!entry.error.ok()) lines->push_back(std::string(entry.error.message()));
      absl::MutexLock lock(&mu_);
      owners_[owner].emplace(*name, std::move(entry));
    } else if (!IsLeftOver(file)) {
      lines->push_back(absl::StrCat(path, ": left alone: no file of a collection"));
    } else if (unlink(path.c_str()) == 0) {
      lines->push_back(absl::StrCat(path, ": removed: it was not whole when the server ended"));
    } else {
      lines->push_back(
          std::string(OfFile(path, SystemError("cannot be removed", errno)).message()));
    }
  }
  return absl::OkStatus();
}

Collections::Entry Collections::OpenCollection(const std::string& owner, const std::string& name,
                                               std::vector<std::string>* lines) const {
  const std::string path = PathOf(owner, name);
  const auto header = RecordFile::ReadHeader(path);
  if (!header.ok()) return {.error = header.status()};
  if (header->model_fingerprint != options_.model_fingerprint || header->width != options_.width) {
    return {.error = OfFile(
                path, absl::FailedPreconditionError(absl::StrCat(
                          "was made with the model ", Quoted(header->model_fingerprint), " (",
                          header->width, " values); this server has ",
                          Quoted(options_.model_fingerprint), " (", options_.width,
                          "); serve that model, or drop the collection and put its texts anew")))};
  }
  auto opened = RecordFile::Open(path);
  if (!opened.ok()) return {.error = opened.status()};
  if (!opened->note.empty()) lines->push_back(opened->note);
  if (!opened->file->writable().ok())
    lines->push_back(std::string(opened->file->writable().message()));
  auto collection = Collection::Load(PartsOf(owner, name, *header), *std::move(opened));
  if (!collection.ok()) return {.error = collection.status()};
  return {.collection = *std::move(collection)};
}

absl::Status Collections::MakeFolder(const std::string& owner) const {
  if (options_.directory.empty()) return absl::OkStatus();
  const std::string folder = FolderOf(owner);
  const absl::Status status = MakePrivateFolder(folder);
  return status.ok() ? status : OfFile(folder, status);
}

}  // namespace longspan
