// The form of a collection's file, as RecordFile writes and reads it. Little-endian; everything
// stands at a multiple of 64 bytes, filled up with zeros:
//
//   header    64 bytes; the fingerprint of the model, the language
//   records   put:     64 bytes; the packed text (kept_text.h), its id
//             delete:  64 bytes; the id
//             commit:  64 bytes: the records since the commit before hold from here on
//
// Every byte is under a CRC-32. That of a record's header also covers where the record stands and a
// random number of the file, so that nothing inside a text, and nothing left from another file,
// looks like a record.
//
// Plain values and free functions without state: thread safe. Proven by record_file_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/search/token_codes.h"

namespace longspan {

inline constexpr uint64_t kRecordAlignment = 64;
inline constexpr uint64_t AlignedBytes(uint64_t bytes) {
  return (bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

// What all texts of a file have in common.
struct FileHeader {
  std::string model_fingerprint;  // of what made the vectors
  int64_t width = 0;              // values of a vector
  TokenFormat format = TokenFormat::kInt8;
  int64_t cell_tokens = 0;
  std::string language;  // of the words
  friend bool operator==(const FileHeader&, const FileHeader&) = default;
};
inline constexpr size_t kMaxFingerprintBytes = 1024;
inline constexpr size_t kMaxLanguageBytes = 64;
inline constexpr size_t kMaxFileHeaderBytes = 64 + 1024 + 64;

// INVALID_ARGUMENT where a string is too long.
absl::Status CheckFileHeader(const FileHeader& header);
std::string EncodeFileHeader(const FileHeader& header, uint64_t nonce);

struct DecodedFileHeader {
  FileHeader header;
  uint64_t nonce = 0;      // the random number of the file
  uint64_t num_bytes = 0;  // where the first record stands
};
// Of the first kMaxFileHeaderBytes of a file, or all that it has. DATA_LOSS where it is none;
// FAILED_PRECONDITION where it is one of another version.
absl::StatusOr<DecodedFileHeader> DecodeFileHeader(std::string_view bytes);

enum class RecordKind : uint32_t { kPut = 1, kDelete = 2, kCommit = 3 };

struct RecordHeader {
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  RecordKind kind = RecordKind::kPut;
  uint32_t crc = 0;            // of the nonce and of this header, where this field is 0
  uint64_t offset = 0;         // where it stands in the file
  uint64_t batch = 0;          // 1, 2, ...: that of the commit that ends it
  uint64_t text_bytes = 0;     // put
  uint32_t id_bytes = 0;       // put, delete
  uint32_t payload_crc = 0;    // of all behind the header: text, id and zeros
  int64_t expires_ns = 0;      // put: since 1970; kNever
  uint64_t batch_records = 0;  // commit: how many it ends
  uint64_t unused = 0;

  uint64_t payload_bytes() const { return AlignedBytes(text_bytes + id_bytes); }
};
static_assert(sizeof(RecordHeader) == kRecordAlignment);

// What a put takes in the file.
inline constexpr uint64_t RecordBytes(uint64_t text_bytes, uint64_t id_bytes) {
  return sizeof(RecordHeader) + AlignedBytes(text_bytes + id_bytes);
}

// CRC-32 of what `crc` is of, and then of `bytes`.
uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes);
uint32_t HeaderCrc(RecordHeader header, uint64_t nonce);
// Why this is no header of a record at `offset`; empty = it is one.
std::string FaultOf(const RecordHeader& header, uint64_t nonce, uint64_t offset);

}  // namespace longspan
