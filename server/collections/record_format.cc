#include "server/collections/record_format.h"

#include <zlib.h>

#include <array>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::array<char, 8> kMagic = {'l', 'o', 'n', 'g', 's', 'p', 'a', 'n'};
constexpr uint32_t kVersion = 1;

struct FileStart {
  std::array<char, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t crc = 0;  // of the whole header, where this field is 0
  uint64_t nonce = 0;
  uint64_t num_bytes = 0;  // of the whole header
  uint32_t width = 0;
  uint32_t cell_tokens = 0;
  uint32_t format = 0;
  uint32_t fingerprint_bytes = 0;
  uint32_t language_bytes = 0;
  uint32_t unused[3] = {};
};
static_assert(sizeof(FileStart) == kRecordAlignment);
static_assert(kMaxFileHeaderBytes ==
              sizeof(FileStart) + AlignedBytes(kMaxFingerprintBytes + kMaxLanguageBytes));

uint32_t CrcOf(std::string_view bytes) {
  return Crc32(0, std::as_bytes(std::span(bytes.data(), bytes.size())));
}

std::string Hex(uint32_t crc) { return absl::StrCat(absl::Hex(crc, absl::kZeroPad8)); }

uint32_t CrcOfFileHeader(std::string header) {
  std::memset(header.data() + offsetof(FileStart, crc), 0, sizeof(uint32_t));
  return CrcOf(header);
}

}  // namespace

uint32_t Crc32(uint32_t crc, std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

absl::Status CheckFileHeader(const FileHeader& header) {
  const auto check = [](absl::string_view what, size_t bytes, size_t most) {
    if (bytes <= most) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", bytes, " bytes; allowed: at most ", most));
  };
  const absl::Status status =
      check("the fingerprint of the model", header.model_fingerprint.size(), kMaxFingerprintBytes);
  return status.ok() ? check("the language", header.language.size(), kMaxLanguageBytes) : status;
}

std::string EncodeFileHeader(const FileHeader& header, uint64_t nonce) {
  const size_t text_bytes = header.model_fingerprint.size() + header.language.size();
  FileStart start{.nonce = nonce,
                  .num_bytes = sizeof(FileStart) + AlignedBytes(text_bytes),
                  .width = static_cast<uint32_t>(header.width),
                  .cell_tokens = static_cast<uint32_t>(header.cell_tokens),
                  .format = static_cast<uint32_t>(header.format),
                  .fingerprint_bytes = static_cast<uint32_t>(header.model_fingerprint.size()),
                  .language_bytes = static_cast<uint32_t>(header.language.size())};
  std::string out(reinterpret_cast<const char*>(&start), sizeof start);
  out.append(header.model_fingerprint).append(header.language);
  out.resize(start.num_bytes, '\0');
  start.crc = CrcOfFileHeader(out);
  std::memcpy(out.data() + offsetof(FileStart, crc), &start.crc, sizeof start.crc);
  return out;
}

absl::StatusOr<DecodedFileHeader> DecodeFileHeader(std::string_view bytes) {
  FileStart start;
  if (bytes.size() < sizeof start) {
    return absl::DataLossError(absl::StrCat("offset 0: a header of at least ", sizeof start,
                                            " bytes was expected, the file has ", bytes.size()));
  }
  std::memcpy(&start, bytes.data(), sizeof start);
  if (start.magic != kMagic)
    return absl::DataLossError(
        "offset 0: 'longspan' was expected; this is no file of a collection");
  if (start.version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("is a file of version ", start.version, "; this server reads ", kVersion));
  }
  const uint64_t text_bytes = uint64_t{start.fingerprint_bytes} + start.language_bytes;
  const bool sizes_fit = start.fingerprint_bytes <= kMaxFingerprintBytes &&
                         start.language_bytes <= kMaxLanguageBytes &&
                         start.num_bytes == sizeof start + AlignedBytes(text_bytes) &&
                         start.num_bytes <= bytes.size();
  const std::string_view whole = bytes.substr(0, sizes_fit ? start.num_bytes : sizeof start);
  const uint32_t crc = CrcOfFileHeader(std::string(whole));
  if (!sizes_fit || crc != start.crc) {
    return absl::DataLossError(absl::StrCat("offset 0: a header with the checksum ", Hex(start.crc),
                                            " was expected, found ", Hex(crc)));
  }
  DecodedFileHeader out{.nonce = start.nonce, .num_bytes = start.num_bytes};
  const std::string_view text = whole.substr(sizeof start);
  out.header = {
      .model_fingerprint = std::string(text.substr(0, start.fingerprint_bytes)),
      .width = start.width,
      .format = static_cast<TokenFormat>(start.format),
      .cell_tokens = start.cell_tokens,
      .language = std::string(text.substr(start.fingerprint_bytes, start.language_bytes))};
  return out;
}

uint32_t HeaderCrc(RecordHeader header, uint64_t nonce) {
  header.crc = 0;
  const uint32_t crc = Crc32(0, std::as_bytes(std::span(&nonce, 1)));
  return Crc32(crc, std::as_bytes(std::span(&header, 1)));
}

std::string FaultOf(const RecordHeader& header, uint64_t nonce, uint64_t offset) {
  if (const uint32_t crc = HeaderCrc(header, nonce); crc != header.crc) {
    return absl::StrCat("the header of a record with the checksum ", Hex(header.crc),
                        " was expected, found ", Hex(crc));
  }
  if (header.offset == offset) return "";
  return absl::StrCat("a record of offset ", offset, " was expected, found one of ", header.offset);
}

}  // namespace longspan
