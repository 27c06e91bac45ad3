// Files as people have them: plain, compressed, by a program, and what cannot be read.
#include "client/document_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::HasSubstr;

class DocumentFileTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& bytes) {
    return folder_.WriteText(name, bytes);
  }
  std::string Gzip(const std::string& name, const std::string& bytes) {
    const std::string path = absl::StrCat(folder_.path(), "/", name);
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
    gzclose(file);
    return path;
  }
  // Programs of ours stand in front of those of the machine, and are the only ones.
  void Install(const std::string& name, const std::string& script) {
    const std::string path = Write(name, absl::StrCat("#!/bin/sh\n", script, "\n"));
    chmod(path.c_str(), 0755);
  }
  void OnlyOurPrograms() { setenv("PATH", folder_.path().c_str(), 1); }
  ~DocumentFileTest() override { setenv("PATH", path_.c_str(), 1); }

  TemporaryFolder folder_;
  const std::string path_ = getenv("PATH");
};

TEST_F(DocumentFileTest, PlainAndCompressedTexts) {
  const std::string text = "# A title\n\nétage\n";
  for (const std::string& path : {Write("a.md", text), Gzip("a.txt.gz", text), Gzip("b", text)}) {
    const auto document = ReadDocument(path, 0);
    ASSERT_TRUE(document.ok()) << document.status();
    EXPECT_EQ(document->text, text);
    EXPECT_EQ(document->kind, DocumentKind::kText);
  }
}

TEST_F(DocumentFileTest, WhatIsTooLarge_OrNoUtf8_OrNotThere) {
  const std::string bomb = Gzip("bomb.gz", std::string(10 << 20, 'a'));
  auto document = ReadDocument(bomb, 1 << 20);
  EXPECT_EQ(document.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(document.status().message()), HasSubstr("more than 1048576 bytes"));
  document = ReadDocument(Write("latin", "\xe9tage"), 0);
  EXPECT_THAT(std::string(document.status().message()), HasSubstr("is not UTF-8 at byte 0"));
  EXPECT_TRUE(absl::IsNotFound(ReadDocument("/no/such/file", 0).status()));
}

TEST_F(DocumentFileTest, APdf_IsReadByPdftotext) {
  const std::string pdf = Write("a.bin", "%PDF-1.7 \x01");
  Install("pdftotext", "for last; do :; done; echo \"page one of $4, to $last\"");
  OnlyOurPrograms();
  const auto document = ReadDocument(pdf, 0);
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->text, absl::StrCat("page one of ", pdf, ", to -\n"));
  EXPECT_EQ(document->kind, DocumentKind::kPdf);
  EXPECT_TRUE(IsReadByAProgram(pdf));
}

TEST_F(DocumentFileTest, Html_IsReadByTheFirstProgramThatIsThere) {
  const std::string html = Write("a.HTML", "<p>text</p>");
  OnlyOurPrograms();
  EXPECT_THAT(std::string(ReadDocument(html, 0).status().message()),
              HasSubstr("no program that reads it is installed; install w3m or lynx"));
  Install("lynx", "echo by lynx");
  EXPECT_EQ(ReadDocument(html, 0)->text, "by lynx\n");
  Install("w3m", "echo by w3m");
  EXPECT_EQ(ReadDocument(html, 0)->text, "by w3m\n");
  EXPECT_EQ(ReadDocument(html, 0)->kind, DocumentKind::kHtml);
}

TEST_F(DocumentFileTest, AProgramThatFails_OrNeverEnds) {
  const std::string html = Write("a.html", "<p>text</p>");
  OnlyOurPrograms();
  Install("w3m", "echo half; exit 3");
  EXPECT_THAT(std::string(ReadDocument(html, 0).status().message()),
              HasSubstr("w3m ended with code 3"));
  Install("w3m", "while :; do echo more and more; done");
  EXPECT_THAT(std::string(ReadDocument(html, 10000).status().message()),
              HasSubstr("more than 10000 bytes"));
}

TEST_F(DocumentFileTest, APathIsNoOption) {
  const std::string before = std::filesystem::current_path();
  Write("-n.html", "<p>text</p>");
  Install("w3m", "for last; do :; done; echo \"$last\"");
  OnlyOurPrograms();
  std::filesystem::current_path(folder_.path());
  EXPECT_EQ(ReadDocument("-n.html", 0)->text, "./-n.html\n");
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace longspan
