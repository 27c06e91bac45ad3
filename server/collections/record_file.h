// RecordFile: the texts of one collection on the disk. The file grows at its end and is read
// through memory; record_format.h says what is in it.
//
//   auto file = RecordFile::Create(path, header, puts);      all of `puts`, or no file
//   auto texts = (*file)->Append({.puts = ..., .deletes = ...});
//
// A batch is all or nothing, and is on the disk when Append returns: its records are written and
// brought to the disk (fdatasync), then the commit that makes them count. Neither a kill nor a loss
// of power takes back what was acknowledged, and after either a file that is opened holds whole
// batches only. Where the disk refuses a batch, the file is cut back to the batch before. Where
// even that fails, nobody knows what is on the disk: from then on the file refuses to be written,
// until it is opened again.
//
// What is deleted or replaced stays in the file until Rewrite makes a new one in its place.
//
// No descriptor is held between two batches, however many collections there are. Each batch finds
// the file by its path again, and writes only where it is the same file, as long as it was left:
// what somebody else wrote is neither lost nor mixed with ours.
//
// Thread safety: Append, Rewrite and Remove one at a time; texts may be read by any thread for as
// long as the file lives. Proven by record_file_test and collection_kill_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/collections/file_calls.h"
#include "server/collections/growing_map.h"
#include "server/collections/record_format.h"

namespace longspan {

class RecordFile {
 public:
  // Starts at a multiple of kRecordAlignment in memory.
  using Text = std::span<const std::byte>;

  struct Put {
    std::string_view id;
    Text text;
    absl::Time expires = absl::InfiniteFuture();
  };
  struct Batch {
    std::span<const Put> puts;
    std::span<const std::string> deletes;  // ids; they come before the puts
  };
  struct Created {
    std::unique_ptr<RecordFile> file;
    std::vector<Text> texts;  // of the puts, where they lie in the file
  };
  struct Document {
    std::string id;
    Text text;
    absl::Time expires;
  };
  struct Opened {
    std::unique_ptr<RecordFile> file;
    std::vector<Document> documents;  // that are not deleted
    std::string note;                 // a line for the log; empty = nothing is to be told
  };

  // Nothing stands under the name before it is whole. INVALID_ARGUMENT: CheckFileHeader;
  // FAILED_PRECONDITION: a file of this name is there.
  static absl::StatusOr<Created> Create(const std::string& path, const FileHeader& header,
                                        std::span<const Put> puts);
  // Checks every byte and cuts a torn end. DATA_LOSS where the file is damaged, with offset, what
  // was expected and what was found; FAILED_PRECONDITION where another process writes to it, or its
  // version is another one.
  static absl::StatusOr<Opened> Open(const std::string& path);
  // Without the checks of what follows it.
  static absl::StatusOr<FileHeader> ReadHeader(const std::string& path);
  // Where a new file is written before it takes its place; a kill may leave it behind.
  static std::string TemporaryPath(const std::string& path) { return path + ".tmp"; }

  // Returns where the texts of the puts lie in the file now. FAILED_PRECONDITION where the file is
  // not the one that was left, or is not written to any more.
  absl::StatusOr<std::vector<Text>> Append(const Batch& batch);
  // A new file with `puts` takes the place of this one, which can be read on and no longer be
  // written.
  absl::StatusOr<Created> Rewrite(std::span<const Put> puts);
  // Removes the file; its texts can be read on. An error where it is still there, or may come back
  // with a loss of power.
  absl::Status Remove();

  const FileHeader& header() const { return header_; }
  uint64_t header_bytes() const { return header_bytes_; }
  uint64_t num_bytes() const { return end_; }
  // Why the file cannot be written; OK = it can.
  const absl::Status& writable() const { return writable_; }

 private:
  explicit RecordFile(std::string path) : path_(std::move(path)) {}
  // The file as it was left, locked.
  absl::StatusOr<LockedFile> OpenAgain() const;
  // At the temporary path, on the disk.
  static absl::StatusOr<Created> WriteNew(const std::string& path, const FileHeader& header,
                                          std::span<const Put> puts);
  absl::Status ReadFileHeader(int file, uint64_t file_bytes);
  absl::Status WriteBatch(int file, const Batch& batch, std::vector<uint64_t>* texts);
  void CutBack(int file, const absl::Status& cause);
  void RefuseWrites(const absl::Status& cause);
  std::vector<Text> TextsAt(std::span<const Put> puts, std::span<const uint64_t> offsets) const;

  const std::string path_;
  FileIdentity identity_;
  FileHeader header_;
  uint64_t nonce_ = 0;
  uint64_t header_bytes_ = 0;
  uint64_t end_ = 0;      // of the last whole batch
  uint64_t batches_ = 0;  // that are whole
  absl::Status writable_;
  GrowingMap map_;
};

}  // namespace longspan
