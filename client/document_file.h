// ReadDocument: the text of a file as people have them, for `longspan search`:
//
//   text, Markdown   as it is
//   gzip, zstd       decompressed; what a file is, its first bytes tell
//   PDF              by pdftotext (Debian: poppler-utils); a form feed ends each page
//   HTML             by w3m or lynx: .html, .htm, .xhtml
//
// The programs run without a shell. One that is not installed is named in the error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace longspan {

enum class DocumentKind { kText, kPdf, kHtml };

struct DocumentText {
  std::string text;  // UTF-8
  DocumentKind kind = DocumentKind::kText;
};

// "-" is standard input. NOT_FOUND where the file cannot be read. INVALID_ARGUMENT where it is no
// UTF-8, or its text has more than `max_bytes` (0 = no limit). FAILED_PRECONDITION where the
// program that reads such files is not installed, or fails.
absl::StatusOr<DocumentText> ReadDocument(const std::string& path, int64_t max_bytes);

// Whether a file with bytes that are no text can be read all the same.
bool IsReadByAProgram(const std::string& path);

// What a program writes on its standard output, which may have `max_bytes` (0 = any number).
// NOT_FOUND where there is no such program; FAILED_PRECONDITION where it ends with an error.
absl::StatusOr<std::string> OutputOf(const std::vector<std::string>& command, int64_t max_bytes);

}  // namespace longspan
