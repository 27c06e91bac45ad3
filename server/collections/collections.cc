#include "server/collections/collections.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/collections/collection_name.h"

namespace longspan {
namespace {

absl::Status NotThere(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("collection ", Quoted(name), " does not exist"));
}

int64_t BytesOnDisk(const std::string& path) {
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(bytes);
}

}  // namespace

Collections::Collections(CollectionsOptions options)
    : options_(std::move(options)),
      ledger_(std::make_shared<ByteLedger>(options_.max_bytes, options_.max_bytes_of_owner > 0
                                                                   ? options_.max_bytes_of_owner
                                                                   : options_.max_bytes)) {}

std::string Collections::FolderOf(const std::string& owner) const {
  return absl::StrCat(options_.directory, "/", OwnerFolder(owner));
}

std::string Collections::PathOf(const std::string& owner, const std::string& name) const {
  if (options_.directory.empty()) return "";
  return absl::StrCat(FolderOf(owner), "/", CollectionFile(name));
}

Collection::Parts Collections::PartsOf(const std::string& owner, const std::string& name,
                                       const FileHeader& header) const {
  return {.owner = owner,
          .name = name,
          .header = header,
          .path = PathOf(owner, name),
          .ledger = ledger_,
          .now = options_.now,
          .least_waste = options_.least_waste};
}

std::optional<Collections::Entry> Collections::Lookup(const std::string& owner,
                                                      const std::string& name) const {
  absl::MutexLock lock(&mu_);
  const auto of_owner = owners_.find(owner);
  if (of_owner == owners_.end()) return std::nullopt;
  const auto found = of_owner->second.find(name);
  if (found == of_owner->second.end()) return std::nullopt;
  const Entry& entry = found->second;
  const bool is_there = entry.collection == nullptr || entry.collection->is_live();
  return is_there ? std::optional(entry) : std::nullopt;
}

absl::StatusOr<std::shared_ptr<Collection>> Collections::Find(const std::string& owner,
                                                              const std::string& name) const {
  if (absl::Status status = CheckCollectionName(name); !status.ok()) return status;
  const std::optional<Entry> entry = Lookup(owner, name);
  if (!entry.has_value()) return NotThere(name);
  if (!entry->error.ok()) return entry->error;
  return entry->collection;
}

absl::Status Collections::CheckNumber(const std::string& owner) const {
  int64_t all = 0;
  for (const auto& [name, names] : owners_) all += std::ssize(names);
  const auto found = owners_.find(owner);
  const int64_t own = found == owners_.end() ? 0 : std::ssize(found->second);
  std::string what;
  if (own >= options_.max_collections) {
    what = absl::StrCat(own, " collections; allowed: ", options_.max_collections);
  } else if (all >= options_.max_collections_together) {
    what =
        absl::StrCat(all, " collections of all keys; allowed: ", options_.max_collections_together);
  } else {
    return absl::OkStatus();
  }
  return WithReason(absl::ResourceExhaustedError(absl::StrCat("there are ", what, " (drop some)")),
                    kReasonMaxCollections);
}

absl::StatusOr<std::shared_ptr<Collection>> Collections::FindOrAdd(
    const std::string& owner, const std::string& name, const CollectionSettings& settings) {
  absl::MutexLock lock(&mu_);
  Names& names = owners_[owner];
  const auto found = names.find(name);
  const bool is_dropped = found != names.end() && found->second.collection != nullptr &&
                          found->second.collection->is_dropped();
  if (found != names.end() && !is_dropped) {
    if (!found->second.error.ok()) return found->second.error;
    return found->second.collection;
  }
  if (absl::Status status = is_dropped ? absl::OkStatus() : CheckNumber(owner); !status.ok()) {
    if (names.empty()) owners_.erase(owner);
    return status;
  }
  const FileHeader header{.model_fingerprint = options_.model_fingerprint,
                          .width = options_.width,
                          .format = settings.format,
                          .cell_tokens = settings.cell_tokens,
                          .language = settings.language};
  auto collection = std::make_shared<Collection>(PartsOf(owner, name, header));
  names[name] = {.collection = collection};
  return collection;
}

void Collections::ForgetDropped(const std::string& owner, const std::string& name) {
  absl::MutexLock lock(&mu_);
  const auto of_owner = owners_.find(owner);
  if (of_owner == owners_.end()) return;
  Names& names = of_owner->second;
  const auto found = names.find(name);
  if (found != names.end() && found->second.collection != nullptr &&
      found->second.collection->is_dropped())
    names.erase(found);
  if (names.empty()) owners_.erase(of_owner);
}

absl::StatusOr<PutCounts> Collections::Put(const std::string& owner, const std::string& name,
                                           const CollectionSettings& settings,
                                           std::span<const PutText> texts,
                                           std::optional<absl::Time> expires) {
  absl::Status status = CheckCollectionName(name);
  if (status.ok()) status = CheckFileHeader({.language = settings.language});
  if (status.ok()) status = MakeFolder(owner);
  if (!status.ok()) return status;
  bool made_room = false;
  while (true) {
    const auto collection = FindOrAdd(owner, name, settings);
    if (!collection.ok()) return collection.status();
    auto counts = (*collection)->Put(settings, texts, expires.value_or(absl::InfiniteFuture()));
    if ((*collection)->is_dropped()) ForgetDropped(owner, name);
    // Somebody dropped it between the two calls.
    if (absl::IsAborted(counts.status())) continue;
    // What has expired counts until it is removed.
    if (absl::IsResourceExhausted(counts.status()) && !std::exchange(made_room, true) &&
        RemoveExpired() > 0)
      continue;
    return counts;
  }
}

absl::Status Collections::CheckRoom(const std::string& owner, const std::string& name,
                                    std::span<const std::string> ids, int64_t bytes) {
  absl::Status status = CheckRoomOnce(owner, name, ids, bytes);
  if (status.ok() || RemoveExpired() == 0) return status;
  return CheckRoomOnce(owner, name, ids, bytes);
}

absl::Status Collections::CheckRoomOnce(const std::string& owner, const std::string& name,
                                        std::span<const std::string> ids, int64_t bytes) const {
  int64_t soon_freed = 0;
  if (const std::optional<Entry> entry = Lookup(owner, name); entry.has_value()) {
    if (entry->collection != nullptr) soon_freed = entry->collection->BytesOf(ids);
  } else {
    absl::MutexLock lock(&mu_);
    const auto of_owner = owners_.find(owner);
    // One whose first Put is under way has its name already.
    if (of_owner == owners_.end() || !of_owner->second.contains(name)) {
      if (absl::Status status = CheckNumber(owner); !status.ok()) return status;
    }
  }
  return ledger_->Check(owner, bytes, soon_freed);
}

absl::StatusOr<int64_t> Collections::Delete(const std::string& owner, const std::string& name,
                                            std::span<const std::string> ids) {
  const auto collection = Find(owner, name);
  if (!collection.ok()) return collection.status();
  auto count = (*collection)->Delete(ids);
  if (absl::IsAborted(count.status())) return NotThere(name);
  return count;
}

absl::StatusOr<bool> Collections::Drop(const std::string& owner, const std::string& name) {
  if (absl::Status status = CheckCollectionName(name); !status.ok()) return status;
  const std::optional<Entry> entry = Lookup(owner, name);
  if (!entry.has_value()) return false;
  if (entry->collection == nullptr) return DropUnusable(owner, name);
  const absl::Status status = entry->collection->Drop();
  if (absl::IsAborted(status)) return false;
  if (!status.ok()) return status;
  ForgetDropped(owner, name);
  return true;
}

absl::StatusOr<bool> Collections::DropUnusable(const std::string& owner, const std::string& name) {
  const std::string path = PathOf(owner, name);
  // Under the lock, so that no new collection takes the name before its file is gone.
  absl::MutexLock lock(&mu_);
  Names& names = owners_[owner];
  const auto found = names.find(name);
  if (found == names.end() || found->second.collection != nullptr) return false;
  if (unlink(path.c_str()) != 0 && errno != ENOENT)
    return OfFile(path, SystemError("cannot be removed", errno));
  if (const absl::Status status = SyncFolder(FolderOf(owner)); !status.ok())
    return OfFile(path, status);
  names.erase(found);
  return true;
}

std::vector<CollectionInfo> Collections::List(const std::string& owner) const {
  Names names;
  {
    absl::MutexLock lock(&mu_);
    if (const auto found = owners_.find(owner); found != owners_.end()) names = found->second;
  }
  std::vector<CollectionInfo> infos;
  for (const auto& [name, entry] : names) {
    if (entry.collection == nullptr) {
      infos.push_back(
          {.name = name, .on_disk_bytes = BytesOnDisk(PathOf(owner, name)), .status = entry.error});
    } else if (entry.collection->is_live()) {
      infos.push_back(entry.collection->Info());
    }
  }
  return infos;
}

std::vector<std::shared_ptr<Collection>> Collections::All() const {
  std::vector<std::shared_ptr<Collection>> all;
  absl::MutexLock lock(&mu_);
  for (const auto& [owner, names] : owners_) {
    for (const auto& [name, entry] : names) {
      if (entry.collection != nullptr) all.push_back(entry.collection);
    }
  }
  return all;
}

int64_t Collections::RemoveExpired() {
  int64_t count = 0;
  for (const std::shared_ptr<Collection>& collection : All()) count += collection->RemoveExpired();
  return count;
}

std::vector<std::string> Collections::Maintain() {
  std::vector<std::string> lines;
  for (const std::shared_ptr<Collection>& collection : All()) {
    collection->RemoveExpired();
    if (auto line = collection->Compact(); line.has_value()) lines.push_back(*std::move(line));
  }
  return lines;
}

Collections::Totals Collections::totals() const {
  std::vector<std::string> owners;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [owner, names] : owners_) owners.push_back(owner);
  }
  Totals totals{.bytes = ledger_->bytes()};
  for (const std::string& owner : owners) {
    for (const CollectionInfo& info : List(owner)) {
      ++totals.collections;
      totals.unusable += info.status.ok() ? 0 : 1;
      totals.documents += info.documents;
      totals.on_disk_bytes += info.on_disk_bytes;
    }
  }
  return totals;
}

}  // namespace longspan
