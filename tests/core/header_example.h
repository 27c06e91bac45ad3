// Holds the example in a header's comment to code that compiles and runs. The test that runs the
// same lines marks them,
//
//     // Example of core/encoder.h: begin
//     ...
//     // Example of core/encoder.h: end
//
// and ExpectExampleOfHeader compares the two, so that they cannot drift apart. Paths begin at the
// source folder.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace longspan {

inline std::vector<std::string> SourceLines(const std::string& path) {
  std::ifstream file(std::string(LONGSPAN_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// The lines between the marks of `header` in the test's source, less the indentation of the first.
inline std::vector<std::string> ExampleOfTest(const std::string& test, const std::string& header) {
  const std::string mark = "// Example of " + header + ": ";
  std::vector<std::string> example;
  bool inside = false;
  size_t indent = 0;
  for (const std::string& line : SourceLines(test)) {
    if (line.find(mark + "end") != std::string::npos) break;
    if (inside) example.push_back(line.size() < indent ? line : line.substr(indent));
    if (const size_t begin = line.find(mark + "begin"); begin != std::string::npos) {
      inside = true;
      indent = begin;
    }
  }
  return example;
}

// The block of comment lines of the header that are indented by three blanks and begin with
// `first_line`.
inline std::vector<std::string> ExampleOfHeader(const std::string& header,
                                                const std::string& first_line) {
  const std::string indent = "//   ";
  std::vector<std::string> example;
  for (const std::string& line : SourceLines(header)) {
    if (example.empty() ? line == indent + first_line : line.starts_with(indent)) {
      example.push_back(line.substr(indent.size()));
    } else if (!example.empty()) {
      break;
    }
  }
  return example;
}

// Expects that `header` shows exactly the lines that `test` marks.
inline void ExpectExampleOfHeader(const std::string& header, const std::string& test) {
  const std::vector<std::string> lines = ExampleOfTest(test, header);
  ASSERT_FALSE(lines.empty()) << test << " marks no example of " << header;
  EXPECT_EQ(ExampleOfHeader(header, lines[0]), lines);
}

}  // namespace longspan
