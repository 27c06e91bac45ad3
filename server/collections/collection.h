// Collection: kept documents under one name, in memory or in a file, with the index that searches
// them.
//
//   const Collection::Reading reading = collection->Read();   stands still while it lives
//   for (uint32_t slot : SomeSearch(reading.index())) reading.id_of(slot);
//
// Searches read side by side. A writer writes to the disk first, while searches go on, and then
// keeps them out for as long as the change of the index takes. Writers come one after the other. A
// document of which the moment has come is not there for any Reading that begins later.
//
// A collection begins without a file: its first Put makes it. One that was dropped is empty, and
// every call but Read is ABORTED.
//
// Thread safety: all methods may be called from any thread. A Reading belongs to the thread that
// took it, which calls nothing else of its collection meanwhile. Proven by collections_test.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/search/kept_index.h"
#include "core/search/token_codes.h"
#include "server/collections/byte_ledger.h"
#include "server/collections/kept_documents.h"
#include "server/collections/record_file.h"

namespace longspan {

// How the texts of a collection are kept, chosen with the first of them.
struct CollectionSettings {
  TokenFormat format = TokenFormat::kInt8;
  int64_t cell_tokens = 0;
  std::string language;  // of the words
};

struct PutText {
  std::string id;
  std::vector<std::byte> bytes;  // as PackText makes them
};

struct PutCounts {
  int64_t added = 0;      // ids that were not there
  int64_t replaced = 0;   // ids that were
  int64_t documents = 0;  // of the collection now
  int64_t tokens = 0;     // of the collection now
  int64_t bytes = 0;      // of the collection now
};

struct CollectionInfo {
  std::string name;
  int64_t documents = 0;
  int64_t tokens = 0;         // of which a vector is kept
  int64_t bytes = 0;          // what counts against the limits
  int64_t on_disk_bytes = 0;  // with what is deleted and not yet cleared away
  CollectionSettings settings;
  absl::Status status;  // why it cannot be used; the numbers but on_disk_bytes are 0 then
};

// What a document counts against the limits: what it takes in a file.
inline int64_t BytesOfDocument(const PutText& text) {
  return static_cast<int64_t>(RecordBytes(text.bytes.size(), text.id.size()));
}

class Collection : public std::enable_shared_from_this<Collection> {
 public:
  struct Parts {
    std::string owner, name;
    FileHeader header;
    std::string path;  // of the file; empty = in memory
    std::shared_ptr<ByteLedger> ledger;
    std::function<absl::Time()> now;
    int64_t least_waste = 0;  // what is deleted and takes no more is not cleared away
  };

  // The documents as they are while it lives. Move only.
  class Reading {
   public:
    Reading(Reading&& other) noexcept = default;
    Reading& operator=(Reading&&) = delete;
    ~Reading();

    const KeptIndex& index() const;
    // The document in a slot that the index holds.
    std::string_view id_of(uint32_t slot) const;

   private:
    friend class Collection;
    explicit Reading(std::shared_ptr<const Collection> collection)
        : collection_(std::move(collection)) {}
    std::shared_ptr<const Collection> collection_;  // null = moved from
  };

  // Without documents, until the first Put.
  explicit Collection(Parts parts);
  // DATA_LOSS where a text of the file is none of such a collection. Does not look at the limits.
  static absl::StatusOr<std::shared_ptr<Collection>> Load(Parts parts, RecordFile::Opened opened);

  Reading Read();

  // All texts or none; one of the same id is replaced. FAILED_PRECONDITION: other settings;
  // INVALID_ARGUMENT: an id twice; RESOURCE_EXHAUSTED: a limit, with its reason, or the disk;
  // INTERNAL: the disk failed, or a text is none of such a collection.
  absl::StatusOr<PutCounts> Put(const CollectionSettings& settings, std::span<const PutText> texts,
                                absl::Time expires);
  // What the documents of these ids, all different, count against the limits.
  int64_t BytesOf(std::span<const std::string> ids) const;
  // How many of the ids were there.
  absl::StatusOr<int64_t> Delete(std::span<const std::string> ids);
  // Where this is an error, the collection is still there.
  absl::Status Drop();

  int64_t RemoveExpired();  // how many
  // Writes the file anew where more than half of it is deleted. Searches go on meanwhile, writers
  // wait. A line for the log, or nullopt.
  std::optional<std::string> Compact();

  // Its first Put is done, and it was not dropped.
  bool is_live() const { return state_ == State::kLive; }
  bool is_dropped() const { return state_ == State::kDropped; }
  CollectionInfo Info() const;

 private:
  enum class State { kNew, kLive, kDropped };

  int64_t RemoveExpiredAt(absl::Time now);
  absl::Status CheckSettings(const CollectionSettings& settings) const;
  absl::Status CheckTexts(std::span<const PutText> texts) const;
  absl::StatusOr<KeptText> Parse(std::string_view id, std::span<const std::byte> bytes) const;
  absl::StatusOr<ByteCharge> Charge(std::span<const PutText> texts) const;
  absl::StatusOr<PutCounts> PutLocked(std::span<const PutText> texts, absl::Time expires)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  // On the disk, or in blocks of memory.
  absl::StatusOr<std::vector<KeptDocument>> Store(std::span<const PutText> texts,
                                                  absl::Time expires)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  absl::StatusOr<std::vector<RecordFile::Text>> StoreInFile(std::span<const RecordFile::Put> puts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  std::vector<std::string> ThoseThatAreThere(std::span<const std::string> ids) const;
  bool IsWasteful() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  absl::Status MoveTo(RecordFile::Created created, std::span<const RecordFile::Put> puts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  std::unique_ptr<KeptDocuments> NoDocuments() const;
  void SetFile(std::unique_ptr<RecordFile> file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);

  const Parts parts_;

  // One writer at a time; taken before mu_.
  absl::Mutex writing_ ABSL_ACQUIRED_BEFORE(mu_);
  std::unique_ptr<RecordFile> file_ ABSL_GUARDED_BY(writing_);  // null = in memory, or none yet
  std::atomic<State> state_ = State::kNew;                      // written by writers
  std::atomic<int64_t> file_bytes_ = 0;                         // written by writers

  // Shared by searches. The bytes of the documents lie in file_, which changes only with them.
  mutable absl::Mutex mu_;
  std::unique_ptr<KeptDocuments> documents_ ABSL_GUARDED_BY(mu_);
};

}  // namespace longspan
