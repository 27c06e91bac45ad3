#include "server/collections/record_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <random>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/collections/record_scan.h"

namespace longspan {
namespace {

uint64_t RandomNumber() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

std::string FolderOf(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

int64_t ToExpiresNs(absl::Time expires) {
  return expires == absl::InfiniteFuture() ? RecordHeader::kNever : absl::ToUnixNanos(expires);
}
absl::Time FromExpiresNs(int64_t expires_ns) {
  return expires_ns == RecordHeader::kNever ? absl::InfiniteFuture()
                                            : absl::FromUnixNanos(expires_ns);
}

absl::StatusOr<LockedFile> OpenLocked(const std::string& path) {
  // O_NONBLOCK: a pipe under this name must not hang the start.
  OpenFile opened(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!opened.is_open()) return OfFile(path, SystemError("cannot be opened", errno));
  auto locked = LockedFile::Lock(std::move(opened));
  if (!locked.ok()) return OfFile(path, locked.status());
  return locked;
}

// Writes the records of one batch behind one another.
class RecordWriter {
 public:
  RecordWriter(int file, uint64_t nonce, uint64_t batch, uint64_t offset)
      : file_(file), nonce_(nonce), batch_(batch), offset_(offset) {}

  absl::Status Write(RecordHeader header, std::string_view id, RecordFile::Text text) {
    header.text_bytes = text.size();
    header.id_bytes = static_cast<uint32_t>(id.size());
    std::string behind_text(id);
    behind_text.resize(header.payload_bytes() - text.size(), '\0');
    const auto rest = std::as_bytes(std::span(behind_text));
    header.payload_crc = Crc32(Crc32(0, text), rest);
    absl::Status status = WriteHeader(header);
    if (status.ok()) status = WriteNext(text);
    return status.ok() ? WriteNext(rest) : status;
  }
  absl::Status Commit() {
    return WriteHeader({.kind = RecordKind::kCommit, .batch_records = records_});
  }
  uint64_t offset() const { return offset_; }

 private:
  absl::Status WriteHeader(RecordHeader header) {
    header.offset = offset_;
    header.batch = batch_;
    header.crc = HeaderCrc(header, nonce_);
    ++records_;
    return WriteNext(std::as_bytes(std::span(&header, 1)));
  }
  absl::Status WriteNext(std::span<const std::byte> bytes) {
    const uint64_t at = std::exchange(offset_, offset_ + bytes.size());
    return WriteAll(file_, bytes, at);
  }

  const int file_;
  const uint64_t nonce_;
  const uint64_t batch_;
  uint64_t offset_;
  uint64_t records_ = 0;
};

// The puts of which no later record is of the same id, in the order of the file.
std::vector<const ScannedRecord*> LastPuts(const std::vector<ScannedRecord>& records) {
  std::unordered_map<std::string_view, const ScannedRecord*> last;
  for (const ScannedRecord& record : records) last[record.id] = &record;
  std::vector<const ScannedRecord*> puts;
  for (const ScannedRecord& record : records) {
    if (record.header.kind == RecordKind::kPut && last[record.id] == &record)
      puts.push_back(&record);
  }
  return puts;
}

}  // namespace

absl::StatusOr<LockedFile> RecordFile::OpenAgain() const {
  auto opened = OpenLocked(path_);
  if (!opened.ok()) return opened.status();
  const auto found = IdentityOf(opened->get());
  if (!found.ok()) return OfFile(path_, found.status());
  const auto num_bytes = NumBytesOf(opened->get());
  if (!num_bytes.ok()) return OfFile(path_, num_bytes.status());
  if (*found == identity_ && *num_bytes == end_) return opened;
  const std::string what = *found == identity_
                               ? absl::StrCat("has ", *num_bytes, " bytes and was left with ", end_)
                               : "is another file than the one that is searched";
  return absl::FailedPreconditionError(
      absl::StrCat(path_, ": ", what,
                   ": somebody else wrote there; start the server anew, and nothing else in "
                   "its directory"));
}

absl::Status RecordFile::ReadFileHeader(int file, uint64_t file_bytes) {
  std::string bytes(std::min<uint64_t>(file_bytes, kMaxFileHeaderBytes), '\0');
  if (absl::Status status = ReadAll(file, 0, std::as_writable_bytes(std::span(bytes)));
      !status.ok())
    return status;
  auto decoded = DecodeFileHeader(bytes);
  if (!decoded.ok()) return decoded.status();
  header_ = std::move(decoded->header);
  nonce_ = decoded->nonce;
  header_bytes_ = end_ = decoded->num_bytes;
  return absl::OkStatus();
}

absl::StatusOr<FileHeader> RecordFile::ReadHeader(const std::string& path) {
  OpenFile opened(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!opened.is_open()) return OfFile(path, SystemError("cannot be opened", errno));
  const auto num_bytes = NumBytesOf(opened.get());
  if (!num_bytes.ok()) return OfFile(path, num_bytes.status());
  RecordFile file(path);
  if (const absl::Status status = file.ReadFileHeader(opened.get(), *num_bytes); !status.ok())
    return OfFile(path, status);
  return std::move(file.header_);
}

absl::StatusOr<RecordFile::Opened> RecordFile::Open(const std::string& path) {
  const auto opened = OpenLocked(path);
  if (!opened.ok()) return opened.status();
  const int descriptor = opened->get();
  Opened out;
  out.file.reset(new RecordFile(path));
  RecordFile& file = *out.file;
  const auto identity = IdentityOf(descriptor);
  if (!identity.ok()) return OfFile(path, identity.status());
  file.identity_ = *identity;
  const auto file_bytes = NumBytesOf(descriptor);
  if (!file_bytes.ok()) return OfFile(path, file_bytes.status());
  if (const absl::Status status = file.ReadFileHeader(descriptor, *file_bytes); !status.ok())
    return OfFile(path, status);
  const auto scan = ScanRecords(
      descriptor, {.header = file.header_, .nonce = file.nonce_, .num_bytes = file.header_bytes_},
      *file_bytes);
  if (!scan.ok()) return OfFile(path, scan.status());
  if (scan->batches == 0) {
    return OfFile(path, absl::DataLossError(absl::StrCat(
                            scan->fault.empty() ? "the file ends" : scan->fault,
                            ", and no whole batch is before it; a file is made with one")));
  }
  file.end_ = scan->end;
  file.batches_ = scan->batches;
  if (const absl::Status status = file.map_.Cover(descriptor, file.end_); !status.ok())
    return OfFile(path, status);
  if (file.end_ < *file_bytes) {
    out.note = absl::StrCat(path, ": the last ", *file_bytes - file.end_,
                            " bytes are cut: no whole batch ends there (", scan->fault, ")");
    file.CutBack(descriptor, absl::DataLossError("its end is torn"));
  }
  for (const ScannedRecord* record : LastPuts(scan->records)) {
    const RecordHeader& header = record->header;
    out.documents.push_back(
        {.id = record->id,
         .text = {file.map_.at(header.offset + sizeof header), header.text_bytes},
         .expires = FromExpiresNs(header.expires_ns)});
  }
  return out;
}

absl::Status RecordFile::WriteBatch(int file, const Batch& batch, std::vector<uint64_t>* texts) {
  RecordWriter writer(file, nonce_, batches_ + 1, end_);
  absl::Status status;
  for (const std::string& id : batch.deletes) {
    if (status.ok()) status = writer.Write({.kind = RecordKind::kDelete}, id, {});
  }
  for (const Put& put : batch.puts) {
    texts->push_back(writer.offset() + sizeof(RecordHeader));
    if (status.ok())
      status = writer.Write({.expires_ns = ToExpiresNs(put.expires)}, put.id, put.text);
  }
  if (status.ok()) status = map_.Cover(file, writer.offset() + sizeof(RecordHeader));
  // The commit must not come to the disk before what it ends.
  if (status.ok()) status = SyncFile(file);
  if (status.ok()) status = writer.Commit();
  if (status.ok()) status = SyncFile(file);
  if (!status.ok()) return status;
  end_ = writer.offset();
  ++batches_;
  return status;
}

std::vector<RecordFile::Text> RecordFile::TextsAt(std::span<const Put> puts,
                                                  std::span<const uint64_t> offsets) const {
  std::vector<Text> texts;
  for (size_t i = 0; i < puts.size(); ++i)
    texts.emplace_back(map_.at(offsets[i]), puts[i].text.size());
  return texts;
}

absl::StatusOr<std::vector<RecordFile::Text>> RecordFile::Append(const Batch& batch) {
  if (!writable_.ok()) return writable_;
  const auto file = OpenAgain();
  if (!file.ok()) return file.status();
  std::vector<uint64_t> offsets;
  if (const absl::Status status = WriteBatch(file->get(), batch, &offsets); !status.ok()) {
    CutBack(file->get(), status);
    return OfFile(path_, status);
  }
  return TextsAt(batch.puts, offsets);
}

// Brought to the disk too: what comes next must not meet the rest of this.
void RecordFile::CutBack(int file, const absl::Status& cause) {
  absl::Status status = Truncate(file, end_);
  if (status.ok()) status = SyncFile(file);
  if (status.ok()) return;
  RefuseWrites({status.code(), absl::StrCat(cause.message(), ", and then ", status.message())});
}

void RecordFile::RefuseWrites(const absl::Status& cause) {
  writable_ = absl::FailedPreconditionError(absl::StrCat(
      path_, ": is not written to until the server starts anew, because the disk failed: ",
      cause.message()));
}

absl::StatusOr<RecordFile::Created> RecordFile::WriteNew(const std::string& path,
                                                         const FileHeader& header,
                                                         std::span<const Put> puts) {
  const std::string temporary = TemporaryPath(path);
  unlink(temporary.c_str());
  const OpenFile opened(open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!opened.is_open()) return SystemError("cannot be made", errno);
  const auto identity = IdentityOf(opened.get());
  if (!identity.ok()) return identity.status();
  Created out;
  out.file.reset(new RecordFile(path));
  RecordFile& file = *out.file;
  file.identity_ = *identity;
  file.header_ = header;
  file.nonce_ = RandomNumber();
  const std::string bytes = EncodeFileHeader(header, file.nonce_);
  file.header_bytes_ = file.end_ = bytes.size();
  std::vector<uint64_t> offsets;
  absl::Status status = WriteAll(opened.get(), std::as_bytes(std::span(bytes)), 0);
  if (status.ok()) status = file.WriteBatch(opened.get(), {.puts = puts}, &offsets);
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  out.texts = file.TextsAt(puts, offsets);
  return out;
}

absl::StatusOr<RecordFile::Created> RecordFile::Create(const std::string& path,
                                                       const FileHeader& header,
                                                       std::span<const Put> puts) {
  if (absl::Status status = CheckFileHeader(header); !status.ok()) return status;
  if (access(path.c_str(), F_OK) == 0) {
    return OfFile(path, absl::FailedPreconditionError(
                            "is there already, and was not when the server started"));
  }
  auto created = WriteNew(path, header, puts);
  if (!created.ok()) return OfFile(path, created.status());
  absl::Status status;
  if (std::rename(TemporaryPath(path).c_str(), path.c_str()) != 0) {
    status = SystemError("cannot be named", errno);
    unlink(TemporaryPath(path).c_str());
  } else if (status = SyncFolder(FolderOf(path)); !status.ok()) {
    unlink(path.c_str());
  }
  if (!status.ok()) return OfFile(path, status);
  return created;
}

absl::StatusOr<RecordFile::Created> RecordFile::Rewrite(std::span<const Put> puts) {
  if (!writable_.ok()) return writable_;
  const auto own = OpenAgain();  // locked meanwhile
  if (!own.ok()) return own.status();
  auto created = WriteNew(path_, header_, puts);
  if (!created.ok()) return OfFile(path_, created.status());
  if (std::rename(TemporaryPath(path_).c_str(), path_.c_str()) != 0) {
    const absl::Status status = SystemError("cannot be replaced", errno);
    unlink(TemporaryPath(path_).c_str());
    return OfFile(path_, status);
  }
  if (const absl::Status status = SyncFolder(FolderOf(path_)); !status.ok()) {
    // After a loss of power either file may have the name, so neither may differ from the other.
    RefuseWrites(status);
    return OfFile(path_, status);
  }
  RefuseWrites(absl::InternalError("a newer file took its place"));
  return created;
}

absl::Status RecordFile::Remove() {
  if (unlink(path_.c_str()) != 0 && errno != ENOENT)
    return OfFile(path_, SystemError("cannot be removed", errno));
  RefuseWrites(absl::InternalError("it was removed"));
  const absl::Status status = SyncFolder(FolderOf(path_));
  return status.ok() ? status : OfFile(path_, status);
}

}  // namespace longspan
