// Collections: all kept documents of a server, by owner and by name of the collection. An owner is
// the name of an API key; nobody sees or names what another one keeps.
//
//   auto collections = Collections::Open({.directory = "/var/lib/longspan", ...});
//   (*collections)->Put("team", "contracts", settings, texts, std::nullopt);
//   auto found = (*collections)->Find("team", "contracts");      Collection::Read, to search it
//
// With a directory each collection is a file (record_file.h), and what was acknowledged is there
// after a kill or a loss of power; without one all is in memory. Files that cannot be used, because
// they are damaged or of another model, stay as they are: the requests for such a collection get
// the reason, others are served. Only Drop removes a file.
//
// This room writes no log: Open and Maintain give the lines that an operator should see.
//
// Thread safety: all methods may be called from any thread. What writes waits for the disk. Proven
// by collections_test, collections_on_disk_test and collection_kill_test.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/collections/byte_ledger.h"
#include "server/collections/collection.h"
#include "server/collections/file_calls.h"

namespace longspan {

struct CollectionsOptions {
  std::string directory;           // empty = in memory
  int64_t max_bytes = 0;           // of all documents together, as BytesOfDocument counts them
  int64_t max_bytes_of_owner = 0;  // of those of one owner; 0 = max_bytes
  int64_t max_collections = 1024;  // of one owner
  // Of all owners. A file takes one map of its memory or more, of which Linux gives a process
  // 65,530.
  int64_t max_collections_together = 16'384;
  std::string model_fingerprint;  // tells models apart whose vectors cannot be compared
  int64_t width = 0;              // values of a vector
  // Wall-clock time: expiries outlive the process. Required.
  std::function<absl::Time()> now;
  // What is deleted stays in a file until it takes more than the rest of it, and more than this.
  int64_t least_waste = int64_t{1} << 20;
};

class Collections {
 public:
  // Reads the directory, which is made where it is not there. Lines for the log are appended to
  // `lines`. FAILED_PRECONDITION: another process has the directory; INTERNAL and
  // INVALID_ARGUMENT: it cannot be used at all. A file that cannot be used is no error here.
  static absl::StatusOr<std::unique_ptr<Collections>> Open(CollectionsOptions options,
                                                           std::vector<std::string>* lines);

  // Collection::Put, into a new collection where there is none of this name. No `expires`: kept for
  // ever. INVALID_ARGUMENT: CheckCollectionName.
  absl::StatusOr<PutCounts> Put(const std::string& owner, const std::string& name,
                                const CollectionSettings& settings, std::span<const PutText> texts,
                                std::optional<absl::Time> expires);
  // RESOURCE_EXHAUSTED where Put of documents of these ids, all different, that take so many bytes
  // or more would now be refused for a limit: before anybody works for what cannot be kept.
  absl::Status CheckRoom(const std::string& owner, const std::string& name,
                         std::span<const std::string> ids, int64_t bytes);
  // How many of the ids were there. NOT_FOUND: there is no such collection.
  absl::StatusOr<int64_t> Delete(const std::string& owner, const std::string& name,
                                 std::span<const std::string> ids);
  // Whether there was one. It may also be one that cannot be used.
  absl::StatusOr<bool> Drop(const std::string& owner, const std::string& name);
  // NOT_FOUND, or why the collection cannot be used.
  absl::StatusOr<std::shared_ptr<Collection>> Find(const std::string& owner,
                                                   const std::string& name) const;
  // By name. Those that cannot be used are there too, with the reason.
  std::vector<CollectionInfo> List(const std::string& owner) const;

  // Removes what has expired and writes files anew that are mostly deleted; to be called some times
  // a minute, by one thread. A collection without documents stays. Returns lines for the log.
  std::vector<std::string> Maintain();

  // Of the clock by which documents expire.
  absl::Time Now() const { return options_.now(); }

  struct Totals {
    int64_t collections = 0;  // with those that cannot be used
    int64_t unusable = 0;     // damaged, or of another model
    int64_t documents = 0;
    int64_t bytes = 0;  // of documents, against max_bytes
    int64_t on_disk_bytes = 0;
  };
  Totals totals() const;

 private:
  // One of the two.
  struct Entry {
    std::shared_ptr<Collection> collection;
    absl::Status error;  // why the file cannot be used
  };
  using Names = std::map<std::string, Entry, std::less<>>;

  explicit Collections(CollectionsOptions options);
  absl::Status OpenDirectory(std::vector<std::string>* lines);
  absl::Status OpenOwner(const std::string& owner, std::vector<std::string>* lines);
  Entry OpenCollection(const std::string& owner, const std::string& name,
                       std::vector<std::string>* lines) const;
  Collection::Parts PartsOf(const std::string& owner, const std::string& name,
                            const FileHeader& header) const;
  std::string FolderOf(const std::string& owner) const;
  std::string PathOf(const std::string& owner, const std::string& name) const;
  absl::Status MakeFolder(const std::string& owner) const;

  // nullopt where there is none; a dropped one is none.
  std::optional<Entry> Lookup(const std::string& owner, const std::string& name) const;
  // The collection of this name, or a new one.
  absl::StatusOr<std::shared_ptr<Collection>> FindOrAdd(const std::string& owner,
                                                        const std::string& name,
                                                        const CollectionSettings& settings);
  // Whether a new collection may come to those of this owner.
  absl::Status CheckNumber(const std::string& owner) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckRoomOnce(const std::string& owner, const std::string& name,
                             std::span<const std::string> ids, int64_t bytes) const;
  void ForgetDropped(const std::string& owner, const std::string& name);
  absl::StatusOr<bool> DropUnusable(const std::string& owner, const std::string& name);
  std::vector<std::shared_ptr<Collection>> All() const;
  int64_t RemoveExpired();  // of all; how many

  const CollectionsOptions options_;
  const std::shared_ptr<ByteLedger> ledger_;
  OpenFile directory_;  // locked

  mutable absl::Mutex mu_;
  std::map<std::string, Names> owners_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
