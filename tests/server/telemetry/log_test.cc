#include "server/telemetry/log.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

// What one event leaves in a log file of this format.
std::string Line(const std::string& format, const Log::Fields& fields) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/log";
  Log(format, "info", path).Write(LogLevel::kInfo, "event", fields);
  std::stringstream content;
  content << std::ifstream(path).rdbuf();
  return content.str();
}

TEST(LogTest, BytesThatAreNotUtf8_AreReplacedInBothFormats) {
  for (const char* format : {"json", "text"}) {
    const std::string line = Line(format, {{"model", "caf\xE9"}, {"texts", 2}});
    EXPECT_THAT(line, HasSubstr("caf\\ufffd")) << format;
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << format;
  }
}

}  // namespace
}  // namespace longspan
