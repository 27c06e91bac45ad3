#include "server/collections/record_scan.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/collections/file_calls.h"

namespace longspan {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20;  // read at once; a multiple of the alignment

class Scanner {
 public:
  Scanner(int file, const DecodedFileHeader& header, uint64_t file_bytes)
      : file_(file), nonce_(header.nonce), file_bytes_(file_bytes), block_(kBlockBytes) {
    scan_.end = header.num_bytes;
  }

  absl::StatusOr<RecordScan> Run() {
    uint64_t offset = scan_.end;
    while (offset < file_bytes_) {
      auto fault = ReadRecord(&offset);
      if (!fault.ok()) return fault.status();
      if (fault->empty()) continue;
      const auto commit = FindCommit(offset + kRecordAlignment);
      if (!commit.ok()) return commit.status();
      if (*commit != 0) {
        return absl::DataLossError(absl::StrCat("offset ", offset, ": ", *fault,
                                                "; a whole batch ends further on, at ", *commit,
                                                ", so this is damage and no torn end"));
      }
      scan_.fault = absl::StrCat("offset ", offset, ": ", *fault);
      return std::move(scan_);
    }
    if (!batch_.empty()) scan_.fault = absl::StrCat("offset ", offset, ": a commit was expected");
    return std::move(scan_);
  }

 private:
  // What is wrong with the record at *offset. Empty = nothing: *offset is behind it.
  absl::StatusOr<std::string> ReadRecord(uint64_t* offset) {
    ScannedRecord record;
    RecordHeader& header = record.header;
    const uint64_t left = file_bytes_ - *offset;
    if (left < sizeof header)
      return absl::StrCat(sizeof header, " bytes of a record were expected, ", left, " are there");
    absl::Status status = ReadAll(file_, *offset, std::as_writable_bytes(std::span(&header, 1)));
    if (!status.ok()) return status;
    if (std::string fault = FaultOf(header, nonce_, *offset); !fault.empty()) return fault;
    if (header.batch != scan_.batches + 1) {
      return absl::StrCat("a record of batch ", scan_.batches + 1, " was expected, found one of ",
                          header.batch);
    }
    if (header.kind == RecordKind::kCommit) return Commit(header, offset);
    if (header.payload_bytes() > left - sizeof header) {
      return absl::StrCat(header.payload_bytes(), " bytes of a record were expected, ",
                          left - sizeof header, " are there");
    }
    auto fault = ReadPayload(*offset + sizeof header, &record);
    if (!fault.ok() || !fault->empty()) return fault;
    *offset += sizeof header + header.payload_bytes();
    batch_.push_back(std::move(record));
    return "";
  }

  std::string Commit(const RecordHeader& header, uint64_t* offset) {
    if (header.batch_records != batch_.size()) {
      return absl::StrCat("a batch of ", header.batch_records, " records was expected, ",
                          batch_.size(), " are there");
    }
    *offset += sizeof header;
    scan_.end = *offset;
    ++scan_.batches;
    std::move(batch_.begin(), batch_.end(), std::back_inserter(scan_.records));
    batch_.clear();
    return "";
  }

  absl::StatusOr<std::string> ReadPayload(uint64_t offset, ScannedRecord* record) {
    const RecordHeader& header = record->header;
    uint32_t crc = 0;
    for (uint64_t done = 0; done < header.payload_bytes();) {
      const std::span<std::byte> part =
          std::span(block_).first(std::min(header.payload_bytes() - done, block_.size()));
      if (const absl::Status status = ReadAll(file_, offset + done, part); !status.ok())
        return status;
      crc = Crc32(crc, part);
      done += part.size();
    }
    if (crc != header.payload_crc) {
      return absl::StrCat("a text of the checksum ", absl::Hex(header.payload_crc, absl::kZeroPad8),
                          " was expected, found ", absl::Hex(crc, absl::kZeroPad8));
    }
    record->id.resize(header.id_bytes);
    const absl::Status status =
        ReadAll(file_, offset + header.text_bytes, std::as_writable_bytes(std::span(record->id)));
    if (!status.ok()) return status;
    return "";
  }

  // The first whole commit at `from` or further on; 0 = there is none.
  absl::StatusOr<uint64_t> FindCommit(uint64_t from) {
    for (uint64_t at = from; at + sizeof(RecordHeader) <= file_bytes_;) {
      const uint64_t left = (file_bytes_ - at) / kRecordAlignment * kRecordAlignment;
      const std::span<std::byte> part = std::span(block_).first(std::min(left, block_.size()));
      if (const absl::Status status = ReadAll(file_, at, part); !status.ok()) return status;
      for (size_t i = 0; i < part.size(); i += kRecordAlignment) {
        RecordHeader header;
        std::memcpy(&header, part.data() + i, sizeof header);
        if (header.kind == RecordKind::kCommit && FaultOf(header, nonce_, at + i).empty())
          return at + i;
      }
      at += part.size();
    }
    return uint64_t{0};
  }

  const int file_;
  const uint64_t nonce_;
  const uint64_t file_bytes_;
  std::vector<std::byte> block_;
  std::vector<ScannedRecord> batch_;  // since the last commit
  RecordScan scan_;
};

}  // namespace

absl::StatusOr<RecordScan> ScanRecords(int file, const DecodedFileHeader& header,
                                       uint64_t file_bytes) {
  return Scanner(file, header, file_bytes).Run();
}

}  // namespace longspan
