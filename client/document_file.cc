#include "client/document_file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/bulk/input_file.h"
#include "client/text_file.h"

extern char** environ;

namespace longspan {
namespace {

constexpr std::string_view kPdfMagic = "%PDF-";
constexpr std::string_view kGzipMagic = "\x1f\x8b";
constexpr std::string_view kZstdMagic = "\x28\xb5\x2f\xfd";
constexpr int kNoSuchProgram = 127;

// Programs that read such files, the preferred first; FILE stands for the path.
using Commands = std::vector<std::vector<std::string>>;
const Commands& PdfReaders() {
  static const auto& readers = *new Commands{{"pdftotext", "-q", "-enc", "UTF-8", "FILE", "-"}};
  return readers;
}
const Commands& HtmlReaders() {
  static const auto& readers =
      *new Commands{{"w3m", "-dump", "-cols", "100", "-T", "text/html", "-O", "UTF-8", "FILE"},
                    {"lynx", "-dump", "-nolist", "-force_html", "-display_charset=utf-8", "FILE"}};
  return readers;
}

std::string FirstBytes(const std::string& path) {
  if (path == "-") return "";
  std::ifstream file(path, std::ios::binary);
  char bytes[8] = {};
  file.read(bytes, sizeof(bytes));
  return {bytes, static_cast<size_t>(file.gcount())};
}

bool IsHtml(const std::string& path) {
  const std::string lower = absl::AsciiStrToLower(path);
  return lower.ends_with(".html") || lower.ends_with(".htm") || lower.ends_with(".xhtml");
}

absl::Status TooLarge(const std::string& path, int64_t max_bytes) {
  return absl::InvalidArgumentError(absl::StrCat("the text of ", NameOfInput(path),
                                                 " has more than ", max_bytes,
                                                 " bytes, which this server takes"));
}

absl::StatusOr<std::string> ReadByAProgram(const std::string& path, const Commands& readers,
                                           const char* what, const char* packages,
                                           int64_t max_bytes) {
  for (std::vector<std::string> command : readers) {
    // A path that begins with "-" would be read as an option.
    const std::string file = path.starts_with("-") ? absl::StrCat("./", path) : path;
    std::replace(command.begin(), command.end(), std::string("FILE"), file);
    auto text = OutputOf(command, max_bytes);
    if (absl::IsNotFound(text.status())) continue;
    if (absl::IsInvalidArgument(text.status())) return TooLarge(path, max_bytes);
    if (!text.ok())
      return absl::FailedPreconditionError(
          absl::StrCat(path, " cannot be read: ", std::string(text.status().message())));
    return text;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, " is ", what, ", and no program that reads it is installed; install ", packages));
}

absl::StatusOr<std::string> Decompressed(const std::string& path, int64_t max_bytes) {
  auto file = InputFile::Open(path);
  if (!file.ok()) return file.status();
  std::string text;
  std::vector<char> block(1 << 16);
  while (true) {
    const auto read = (*file)->Read(block.data(), block.size());
    if (!read.ok()) return read.status();
    if (*read == 0) return text;
    text.append(block.data(), *read);
    if (max_bytes > 0 && static_cast<int64_t>(text.size()) > max_bytes)
      return TooLarge(path, max_bytes);
  }
}

absl::Status CheckUtf8(const std::string& path, const std::string& text) {
  const size_t bad = FindInvalidUtf8(text);
  if (bad == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the text of ", NameOfInput(path), " is not UTF-8 at byte ", bad));
}

// Both ends of a pipe; closed with the object.
struct Pipe {
  int read = -1, write = -1;
  absl::Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
      return absl::ResourceExhaustedError(
          absl::StrCat("a pipe cannot be made: ", std::generic_category().message(errno)));
    read = ends[0];
    write = ends[1];
    return absl::OkStatus();
  }
  void CloseWrite() {
    if (write >= 0) close(std::exchange(write, -1));
  }
  ~Pipe() {
    CloseWrite();
    if (read >= 0) close(read);
  }
};

// How the process ended, when it has.
int Await(pid_t process) {
  int state = 0;
  while (waitpid(process, &state, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(state) ? WEXITSTATUS(state) : 128;
}

}  // namespace

absl::StatusOr<std::string> OutputOf(const std::vector<std::string>& command, int64_t max_bytes) {
  Pipe output;
  if (absl::Status status = output.Open(); !status.ok()) return status;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.write, STDOUT_FILENO);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t process = 0;
  const int error =
      posix_spawnp(&process, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    const std::string why =
        absl::StrCat(command[0], " cannot be run: ", std::generic_category().message(error));
    return error == ENOENT ? absl::NotFoundError(why) : absl::FailedPreconditionError(why);
  }
  output.CloseWrite();
  std::string text;
  std::vector<char> block(1 << 16);
  bool too_large = false;
  while (!too_large) {
    const ssize_t got = read(output.read, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(block.data(), static_cast<size_t>(got));
    too_large = max_bytes > 0 && static_cast<int64_t>(text.size()) > max_bytes;
  }
  if (too_large) {  // it ends, as nobody reads what it writes
    close(std::exchange(output.read, -1));
    Await(process);
    return absl::InvalidArgumentError("it has too many bytes");
  }
  const int code = Await(process);
  if (code == kNoSuchProgram) return absl::NotFoundError(absl::StrCat(command[0], " is not there"));
  if (code != 0)
    return absl::FailedPreconditionError(absl::StrCat(command[0], " ended with code ", code));
  return text;
}

bool IsReadByAProgram(const std::string& path) {
  const std::string first = FirstBytes(path);
  return first.starts_with(kPdfMagic) || first.starts_with(kGzipMagic) ||
         first.starts_with(kZstdMagic);
}

absl::StatusOr<DocumentText> ReadDocument(const std::string& path, int64_t max_bytes) {
  DocumentText document;
  absl::StatusOr<std::string> text;
  if (FirstBytes(path).starts_with(kPdfMagic)) {
    document.kind = DocumentKind::kPdf;
    text = ReadByAProgram(path, PdfReaders(), "a PDF", "poppler-utils (pdftotext)", max_bytes);
  } else if (path != "-" && IsHtml(path)) {
    document.kind = DocumentKind::kHtml;
    text = ReadByAProgram(path, HtmlReaders(), "HTML", "w3m or lynx", max_bytes);
  } else {
    text = Decompressed(path, max_bytes);
    if (text.ok() && text->starts_with(kPdfMagic))
      return absl::InvalidArgumentError(
          absl::StrCat(NameOfInput(path), " holds a compressed PDF; decompress it first"));
  }
  if (!text.ok()) return text.status();
  if (absl::Status status = CheckUtf8(path, *text); !status.ok()) return status;
  document.text = *std::move(text);
  return document;
}

}  // namespace longspan
