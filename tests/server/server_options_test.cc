#include "server/server_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<ParsedOptions> Parse(const std::vector<std::string>& arguments,
                                    const std::map<std::string, std::string>& environment = {}) {
  return ParseServerOptions(arguments, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

TEST(ServerOptionsTest, LaterLayersWin_AndOriginsAreKnown) {
  const TemporaryFolder folder;
  const std::string file = folder.WriteText(
      "c.json", R"({"max-batch-tokens": 100, "replicas": 3, "dtype": "int8", "http": "off"})");
  const auto parsed = Parse({"--config", file, "--max-batch-tokens", "300"},
                            {{"LONGSPAN_MAX_BATCH_TOKENS", "200"}, {"LONGSPAN_REPLICAS", "4"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->options.max_batch_tokens, 300);
  EXPECT_EQ(parsed->options.replicas, 4);
  EXPECT_EQ(parsed->options.dtype, "int8");
  EXPECT_EQ(parsed->options.max_texts_per_request, 128);
  EXPECT_EQ(parsed->origins.at("max-batch-tokens"), "command line");
  EXPECT_EQ(parsed->origins.at("replicas"), "environment LONGSPAN_REPLICAS");
  EXPECT_EQ(parsed->origins.at("dtype"), "config " + file);
  EXPECT_EQ(parsed->origins.at("threads"), "default");
}

TEST(ServerOptionsTest, ALinesFileWorksToo) {
  const TemporaryFolder folder;
  const auto parsed = Parse(
      {"--config",
       folder.WriteText(
           "c.ini", "# comment\nmax_text_bytes = 77\ndrain-delay = 250ms\nreflection = true\n")});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->options.max_text_bytes, 77);
  EXPECT_EQ(parsed->options.drain_delay, absl::Milliseconds(250));
  EXPECT_TRUE(parsed->options.reflection);
}

TEST(ServerOptionsTest, AFolderIsNoConfigFile) {
  const TemporaryFolder folder;
  const auto parsed = Parse({"--config", folder.path()});
  EXPECT_THAT(std::string(parsed.status().message()),
              HasSubstr("config " + folder.path() + " cannot be read"));
}

TEST(ServerOptionsTest, AByteOrderMarkInFrontOfAFileIsSkipped) {
  const TemporaryFolder folder;
  for (const char* text :
       {"\xEF\xBB\xBF{\"max-text-bytes\": 77}", "\xEF\xBB\xBFmax-text-bytes = 77"}) {
    const auto parsed = Parse({"--config", folder.WriteText("c", text)});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->options.max_text_bytes, 77);
  }
}

TEST(ServerOptionsTest, ErrorsNameSettingValueOriginAndRange) {
  const TemporaryFolder folder;
  EXPECT_EQ(
      Parse({}, {{"LONGSPAN_REPLICAS", "-1"}}).status().message(),
      "replicas is '-1' (environment LONGSPAN_REPLICAS); allowed: a whole number from 0 to 1024");
  EXPECT_THAT(std::string(Parse({"--dtype", "fp8"}).status().message()),
              HasSubstr("allowed: float32, bfloat16, int8, auto"));
  EXPECT_THAT(std::string(Parse({"--no-such"}).status().message()), HasSubstr("--no-such"));
  EXPECT_THAT(std::string(Parse({"--config", folder.WriteText("d.json", R"({"max-batch": 1})")})
                              .status()
                              .message()),
              HasSubstr("sets 'max-batch', which is no setting"));
  EXPECT_THAT(std::string(Parse({"--config", "/nowhere"}).status().message()),
              HasSubstr("cannot be read"));
}

TEST(ServerOptionsTest, PrintConfigShowsEverySettingWithItsOrigin) {
  const auto parsed = Parse({"--model", "m", "--print-config"});
  ASSERT_TRUE(parsed.ok() && parsed->print_and_exit.has_value());
  EXPECT_THAT(*parsed->print_and_exit, HasSubstr("model = m"));
  EXPECT_THAT(*parsed->print_and_exit, HasSubstr("# command line"));
  EXPECT_THAT(*parsed->print_and_exit, HasSubstr("max-batch-tokens = 16384"));
}

TEST(ServerOptionsTest, Validate_ChecksWhatDependsOnEachOther) {
  ServerOptions options;
  EXPECT_THAT(std::string(Validate(options).message()), HasSubstr("--model"));
  options.model = "m";
  EXPECT_TRUE(Validate(options).ok());
  options.tls_cert = "c.pem";
  EXPECT_FALSE(Validate(options).ok());
  options.tls_cert.clear();
  options.default_deadline = absl::Hours(1);
  EXPECT_THAT(std::string(Validate(options).message()), HasSubstr("at most max-deadline"));
}

}  // namespace
}  // namespace longspan
