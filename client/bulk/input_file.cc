#include "client/bulk/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

constexpr unsigned char kZstdMagic[] = {0x28, 0xB5, 0x2F, 0xFD};

absl::Status Unreadable(const std::string& path) {
  return absl::NotFoundError(
      absl::StrCat(NameOfInput(path), " cannot be read: ", std::generic_category().message(errno)));
}

bool IsZstd(const char* bytes, size_t size) {
  return size >= sizeof(kZstdMagic) && std::memcmp(bytes, kZstdMagic, sizeof(kZstdMagic)) == 0;
}

// Plain or gzip, also of several members: zlib tells them apart.
class GzipFile final : public InputFile {
 public:
  GzipFile(std::string path, gzFile file) : path_(std::move(path)), file_(file) {
    gzbuffer(file_, 1 << 17);
  }
  ~GzipFile() override { gzclose(file_); }

  absl::StatusOr<size_t> Read(char* to, size_t most) override {
    errno = 0;
    const int bytes = gzread(file_, to, static_cast<unsigned>(std::min<size_t>(most, 1 << 30)));
    int error = Z_OK;
    const char* what = gzerror(file_, &error);
    if (error == Z_ERRNO) return Unreadable(path_);
    if (bytes < 0 || error != Z_OK)
      return absl::DataLossError(
          absl::StrCat(NameOfInput(path_), " is damaged, or not whole (gzip): ", what));
    if (at_start_ && path_ == "-" && IsZstd(to, static_cast<size_t>(bytes)))
      return absl::InvalidArgumentError(
          "standard input is zstd; give the file's name, or pipe it through zstd -dc");
    at_start_ = false;
    return static_cast<size_t>(bytes);
  }

  uint64_t position() const override {
    return static_cast<uint64_t>(std::max<z_off_t>(gzoffset(file_), 0));
  }

 private:
  const std::string path_;
  const gzFile file_;
  bool at_start_ = true;
};

class ZstdFile final : public InputFile {
 public:
  ZstdFile(std::string path, int file)
      : path_(std::move(path)), file_(file), buffer_(ZSTD_DStreamInSize()) {}
  ~ZstdFile() override {
    ZSTD_freeDStream(stream_);
    close(file_);
  }

  absl::StatusOr<size_t> Read(char* to, size_t most) override {
    ZSTD_outBuffer out = {to, most, 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size) {
        const ssize_t bytes = read(file_, buffer_.data(), buffer_.size());
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0) return Unreadable(path_);
        in_ = {buffer_.data(), static_cast<size_t>(bytes), 0};
        position_ += static_cast<uint64_t>(bytes);
        if (bytes == 0 && !in_frame_) return size_t{0};
        if (bytes == 0) return Damaged("it ends in the middle of a frame");
      }
      const size_t left = ZSTD_decompressStream(stream_, &out, &in_);
      if (ZSTD_isError(left) != 0) return Damaged(ZSTD_getErrorName(left));
      in_frame_ = left != 0;
    }
    return out.pos;
  }

  uint64_t position() const override { return position_; }

 private:
  absl::Status Damaged(const char* what) const {
    return absl::DataLossError(
        absl::StrCat(NameOfInput(path_), " is damaged, or not whole (zstd): ", what));
  }

  const std::string path_;
  const int file_;
  ZSTD_DStream* const stream_ = ZSTD_createDStream();
  std::vector<char> buffer_;
  ZSTD_inBuffer in_ = {};
  bool in_frame_ = false;
  uint64_t position_ = 0;
};

}  // namespace

std::string NameOfInput(const std::string& path) { return path == "-" ? "standard input" : path; }

absl::StatusOr<std::unique_ptr<InputFile>> InputFile::Open(const std::string& path) {
  const int file = path == "-" ? dup(STDIN_FILENO) : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return Unreadable(path);
  struct stat what = {};
  if (fstat(file, &what) == 0 && S_ISDIR(what.st_mode)) {
    close(file);
    errno = EISDIR;
    return Unreadable(path);
  }
  char head[sizeof(kZstdMagic)];
  // Not of a pipe, which pread cannot read.
  const ssize_t bytes = pread(file, head, sizeof(head), 0);
  if (path != "-" && bytes > 0 && IsZstd(head, static_cast<size_t>(bytes)))
    return std::make_unique<ZstdFile>(path, file);
  const gzFile gzip = gzdopen(file, "rb");
  if (gzip == nullptr) {
    close(file);
    return absl::ResourceExhaustedError(absl::StrCat("no memory to read ", NameOfInput(path)));
  }
  return std::make_unique<GzipFile>(path, gzip);
}

}  // namespace longspan
