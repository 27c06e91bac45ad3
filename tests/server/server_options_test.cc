#include "server/server_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/model_info.h"
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
              HasSubstr("allowed: float32, bfloat16, float16, int8, auto"));
  EXPECT_THAT(std::string(Parse({"--no-such"}).status().message()), HasSubstr("--no-such"));
  EXPECT_THAT(std::string(Parse({"--config", folder.WriteText("d.json", R"({"max-batch": 1})")})
                              .status()
                              .message()),
              HasSubstr("sets 'max-batch', which is no setting"));
  EXPECT_THAT(std::string(Parse({"--config", "/nowhere"}).status().message()),
              HasSubstr("cannot be read"));
}

TEST(ServerOptionsTest, Devices_AreReadFromEveryLayer_AndOthersRefusedWithWhatIsAllowed) {
  const TemporaryFolder folder;
  for (const char* device : {"cpu", "cuda", "cuda:3", "cuda:0,1", "auto"}) {
    const std::string file = folder.WriteText("c", absl::StrCat("device = ", device));
    for (const auto& parsed :
         {Parse({"--device", device}), Parse({}, {{"LONGSPAN_DEVICE", device}}),
          Parse({"--config", file})}) {
      ASSERT_TRUE(parsed.ok()) << parsed.status();
      EXPECT_EQ(parsed->options.device, device);
    }
  }
  EXPECT_EQ(Parse({})->options.device, "cpu");
  for (const char* device : {"gpu", "cuda:", "cuda:x", "cuda:1024", "CUDA", ""}) {
    EXPECT_EQ(
        Parse({}, {{"LONGSPAN_DEVICE", device}}).status().message(),
        absl::StrCat(
            "device is '", device,
            "' (environment LONGSPAN_DEVICE); allowed: cpu, cuda, cuda:N, cuda:N,M,..., auto"));
  }
}

TEST(ServerOptionsTest, MaxBatchTokens_AreLeftToTheDevice) {
  EXPECT_EQ(Parse({})->options.max_batch_tokens, 0);
  EXPECT_EQ(DefaultBatchTokens(/*on_card=*/false), 16384);
  EXPECT_EQ(DefaultBatchTokens(/*on_card=*/true), 65536);
}

// What gRPC would take for port 34463 or 443, or look up as the name of a service.
TEST(ServerOptionsTest, Addresses_AreRefusedFromEveryLayer_WithWhatIsAllowed) {
  const TemporaryFolder folder;
  const std::string listen_allows =
      "; allowed: HOST:PORT or [IPv6]:PORT with a port from 0 to 65535, unix:PATH or "
      "unix-abstract:NAME of at most 107 bytes";
  const std::string http_allows =
      "; allowed: HOST:PORT with a name or an IPv4 address and a port from 0 to 65535, or off";
  for (const std::string text :
       {"127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1", "", ":",
        "host:", ":50051", "50051", "127.0.0.1:https", "127.0.0.1:5005l", "::1:50051", "[::1]",
        "unix:", "vsock:1:2", "http://127.0.0.1:1", "off:", "OFF"}) {
    for (const auto& [name, variable, allows] :
         {std::tuple("listen", "LONGSPAN_LISTEN", listen_allows),
          std::tuple("http", "LONGSPAN_HTTP", http_allows)}) {
      const std::string file =
          folder.WriteText("c.json", absl::StrCat("{\"", name, "\": \"", text, "\"}"));
      const std::string is = absl::StrCat(name, " is '", text, "' (");
      EXPECT_EQ(Parse({absl::StrCat("--", name), text}).status().message(),
                absl::StrCat(is, "command line)", allows));
      EXPECT_EQ(Parse({}, {{variable, text}}).status().message(),
                absl::StrCat(is, "environment ", variable, ")", allows));
      EXPECT_EQ(Parse({"--config", file}).status().message(),
                absl::StrCat(is, "config ", file, ")", allows));
    }
    ServerOptions options{.model = "m", .listen = text};
    EXPECT_EQ(Validate(options).message(), absl::StrCat("listen is '", text, "'", listen_allows));
  }
  for (const char* text : {"0.0.0.0:0", "[::]:1", "localhost:65535", "unix:/x", "dns:///h:1"})
    EXPECT_TRUE(Parse({"--listen", text}).ok()) << text;
  for (const char* text : {"off", "0.0.0.0:0", "localhost:65535"})
    EXPECT_TRUE(Parse({"--http", text}).ok()) << text;
  for (const char* text : {"[::1]:1", "unix:/x", "unix-abstract:x"})
    EXPECT_FALSE(Parse({"--http", text}).ok()) << text;
}

TEST(ServerOptionsTest, PrintConfigShowsEverySettingWithItsOrigin) {
  const auto parsed = Parse({"--model", "m", "--print-config"});
  ASSERT_TRUE(parsed.ok() && parsed->print_and_exit.has_value());
  EXPECT_THAT(*parsed->print_and_exit, HasSubstr("model = m"));
  EXPECT_THAT(*parsed->print_and_exit, HasSubstr("# command line"));
  EXPECT_THAT(*parsed->print_and_exit, HasSubstr("max-queue-tokens = 4Mi"));
}

TEST(ServerOptionsTest, SizesAndTokens_TakeSuffixesInEveryLayer) {
  const TemporaryFolder folder;
  const std::string file = folder.WriteText(
      "c.json", R"({"max-text-bytes": "2MiB", "max-queue-tokens": "64k", "max-tokens": 77})");
  const auto parsed = Parse({"--config", file, "--max-token-vector-bytes", "1.5Gi"},
                            {{"LONGSPAN_MAX_QUEUE_BYTES", "512k"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->options.max_text_bytes, 2 << 20);
  EXPECT_EQ(parsed->options.max_queue_tokens, 64'000);
  EXPECT_EQ(parsed->options.max_tokens, 77);
  EXPECT_EQ(parsed->options.max_queue_bytes, 512'000);
  EXPECT_EQ(parsed->options.max_token_vector_bytes, int64_t{3} << 29);
  EXPECT_EQ(
      Parse({"--max-text-bytes", "8mb"}).status().message(),
      "max-text-bytes is '8mb' (command line); allowed: (unknown suffix 'mb') from 1 to 1TiB, "
      "in bytes, as 8388608, 8MiB, 8Mi or 8.5M (k, M, G, T times 1000; Ki, Mi, Gi, Ti times "
      "1024; B may follow)");
  EXPECT_THAT(std::string(Parse({"--max-queue-tokens", "0"}).status().message()),
              HasSubstr("from 1 to 1Ti"));
}

TEST(ServerOptionsTest, WhatPrintConfigPrints_IsAConfigFileOfTheSameSettings) {
  const TemporaryFolder folder;
  const auto first =
      Parse({"--model", "m", "--max-text-bytes", "3MiB", "--max-batch-tokens", "64Ki",
             "--drain-delay", "90s", "--max-queue-seconds", "0.25", "--print-config"});
  ASSERT_TRUE(first.ok() && first->print_and_exit.has_value());
  EXPECT_THAT(*first->print_and_exit, HasSubstr("max-text-bytes = 3MiB"));
  EXPECT_THAT(*first->print_and_exit, HasSubstr("max-queue-bytes = 256MiB"));
  const auto again =
      Parse({"--config", folder.WriteText("c", *first->print_and_exit), "--print-config"});
  ASSERT_TRUE(again.ok()) << again.status();
  const auto values = [](const std::string& printed) {
    std::vector<std::string> lines;
    for (const absl::string_view line : absl::StrSplit(printed, '\n'))
      lines.emplace_back(absl::StripTrailingAsciiWhitespace(line.substr(0, line.find(" # "))));
    return lines;
  };
  EXPECT_EQ(values(*again->print_and_exit), values(*first->print_and_exit));
}

TEST(ServerOptionsTest, AValueThatIsRefused_IsCutInTheMessage) {
  const absl::Status status = Parse({"--replicas", std::string(1 << 20, '9')}).status();
  EXPECT_LT(status.message().size(), 300u);
}

TEST(ServerOptionsTest, MaxTokensInForce_IsTheSmallestBound_AndSaysWhoSetsIt) {
  struct Case {
    int64_t setting, model, memory, in_force;
    std::string set_by;
  };
  for (const Case& c : std::vector<Case>{{0, 0, 0, 0, ""},
                                         {0, 4096, 0, 4096, "model"},
                                         {0, 0, 700, 700, "memory"},
                                         {100, 4096, 700, 100, "setting"},
                                         {5000, 4096, 0, 4096, "model"},
                                         {5000, 4096, 700, 700, "memory"},
                                         {4096, 4096, 4096, 4096, "setting"}}) {
    ServerOptions options;
    options.max_tokens = c.setting;
    ModelInfo model;
    model.max_tokens = c.model;
    options.memory_max_tokens = c.memory;
    EXPECT_EQ(MaxTokensInForce(options, model), c.in_force);
    EXPECT_EQ(MaxTokensSetBy(options, model), c.set_by);
  }
}

TEST(ServerOptionsTest, Origins_ComeAsAList_OrOneByOne) {
  const std::vector<std::string> two = {"https://app.example", "http://localhost:3000"};
  for (const auto& parsed :
       {Parse({"--cors-origin", "https://app.example,http://localhost:3000"}),
        Parse({"--cors-origin", "https://app.example", "--cors-origin", "http://localhost:3000"}),
        Parse({}, {{"LONGSPAN_CORS_ORIGIN", " https://app.example , http://localhost:3000,"}})}) {
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->options.cors_origins, two);
    EXPECT_THAT(DescribeOptions(*parsed),
                HasSubstr("cors-origin = https://app.example,http://localhost:3000 "));
  }
  EXPECT_TRUE(Parse({})->options.cors_origins.empty());
  EXPECT_EQ(Parse({"--cors-origin", "*"})->options.cors_origins, std::vector<std::string>{"*"});
  for (const char* origin :
       {"app.example", "https://", "://a", "https://a/", "https://a/b", "https://A.example",
        "https://a b", "null", "https://*.example", "https://a\r\nX: 1"})
    EXPECT_THAT(std::string(Parse({"--cors-origin", origin}).status().message()),
                HasSubstr("; allowed: SCHEME://HOST"))
        << origin;
}

TEST(ServerOptionsTest, KeptDocuments_AreInMemory_AndTheirBoundIsLeftToTheContainer) {
  const auto usual = Parse({});
  ASSERT_TRUE(usual.ok()) << usual.status();
  EXPECT_TRUE(usual->options.collections);
  EXPECT_EQ(usual->options.max_collection_bytes, 0);
  EXPECT_EQ(usual->options.max_collection_bytes_per_key, 0);
  EXPECT_EQ(usual->options.collections_directory, "");
  EXPECT_EQ(usual->options.collection_ttl, absl::ZeroDuration());
  EXPECT_THAT(DescribeOptions(*usual), HasSubstr("collection-ttl = 0"));
}

TEST(ServerOptionsTest, KeptDocuments_AreSetFromEveryLayer) {
  const TemporaryFolder folder;
  const std::string file = folder.WriteText(
      "c.json", R"({"collections-directory": "/kept", "max-collection-bytes": "2GiB"})");
  auto parsed =
      Parse({"--config", file, "--collection-ttl", "720h"},
            {{"LONGSPAN_MAX_COLLECTION_BYTES_PER_KEY", "64Mi"}, {"LONGSPAN_COLLECTIONS", "false"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->options.collections_directory, "/kept");
  EXPECT_EQ(parsed->options.max_collection_bytes, int64_t{2} << 30);
  EXPECT_EQ(parsed->options.max_collection_bytes_per_key, 64 << 20);
  EXPECT_EQ(parsed->options.collection_ttl, absl::Hours(720));
  EXPECT_FALSE(parsed->options.collections);
  parsed = Parse({"--collections=true"}, {{"LONGSPAN_COLLECTIONS", "false"}});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->options.collections);
}

TEST(ServerOptionsTest, KeptDocuments_OutsideTheirRange) {
  for (const auto& [setting, wrong] :
       std::vector<std::pair<std::string, std::string>>{{"max-collection-bytes", "-1"},
                                                        {"max-collection-bytes", "8mb"},
                                                        {"max-collection-bytes-per-key", "1025Ti"},
                                                        {"collection-ttl", "-1s"},
                                                        {"collection-ttl", "1d"},
                                                        {"collection-ttl", "876001h"},
                                                        {"collections", "perhaps"}}) {
    EXPECT_THAT(std::string(Parse({absl::StrCat("--", setting, "=", wrong)}).status().message()),
                HasSubstr(absl::StrCat(setting, " is '", wrong, "' (command line); allowed: ")));
  }
}

TEST(ServerOptionsTest, Validate_ChecksWhatDependsOnEachOther) {
  ServerOptions options;
  EXPECT_THAT(std::string(Validate(options).message()), HasSubstr("--model"));
  options.model = "m";
  EXPECT_TRUE(Validate(options).ok());
  options.tls_cert = "c.pem";
  EXPECT_FALSE(Validate(options).ok());
  options.tls_cert.clear();
  options.http_tls = true;
  EXPECT_THAT(std::string(Validate(options).message()), HasSubstr("http-tls is set without"));
  options.tls_cert = options.tls_key = "c.pem";
  EXPECT_TRUE(Validate(options).ok());
  options.http_page_keys = true;
  EXPECT_THAT(std::string(Validate(options).message()), HasSubstr("without auth-keys-file"));
  options.auth_keys_file = "keys";
  EXPECT_TRUE(Validate(options).ok());
  options.default_deadline = absl::Hours(1);
  EXPECT_THAT(std::string(Validate(options).message()), HasSubstr("at most max-deadline"));
}

}  // namespace
}  // namespace longspan
