// The command line as a user meets it: the exit codes, what is printed on stdout and on stderr, and
// the requests that the options make.
#include "client/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "client/summary.h"
#include "client/text_file.h"
#include "tests/client/fake_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

class CommandsTest : public testing::Test {
 protected:
  Outcome Run(std::vector<std::string> arguments, const std::string& server = "") {
    arguments.insert(arguments.begin(), "longspan");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.exit_code = RunCommandLine(static_cast<int>(argv.size()), argv.data(),
                                       [&](const std::string& name) -> std::optional<std::string> {
                                         if (const auto found = environment_.find(name);
                                             found != environment_.end())
                                           return found->second;
                                         if (name != "LONGSPAN_SERVER") return std::nullopt;
                                         return server.empty() ? server_.address() : server;
                                       });
    outcome.out = testing::internal::GetCapturedStdout();
    outcome.err = testing::internal::GetCapturedStderr();
    return outcome;
  }
  std::string TextFile(const std::string& name, const std::string& text) const {
    return folder_.WriteText(name, text);
  }

  FakeServer server_;
  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;  // beside LONGSPAN_SERVER
};

TEST_F(CommandsTest, Encode_PrintsJson_AndSendsWhatTheOptionsSay) {
  server_.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse* response) {
        response->add_encodings()->set_tokens_total(7);
        return grpc::Status::OK;
      });
  const Outcome outcome =
      Run({"encode", TextFile("text.txt", "Grüße"), "--pooling", "mean-sqrt-len", "--truncation",
           "head_tail", "--spans", "paragraphs", "--span-min-tokens", "16", "--span-max-tokens",
           "256", "--dimensions", "128", "--prompt", "query"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(R"("tokens_total":"7")"));
  EXPECT_THAT(outcome.out, HasSubstr(R"("truncated":false)"));
  const v1::EncodeRequest request = server_.last_request();
  EXPECT_EQ(request.inputs(0).text(), "Grüße");
  EXPECT_EQ(request.options().pooling(), v1::POOLING_MEAN_SQRT_LEN);
  EXPECT_EQ(request.options().truncation(), v1::TRUNCATION_HEAD_TAIL);
  EXPECT_EQ(request.options().span_policy(), v1::SPAN_POLICY_PARAGRAPHS);
  EXPECT_EQ(request.options().span_min_tokens(), 16u);
  EXPECT_EQ(request.options().span_max_tokens(), 256u);
  EXPECT_EQ(request.options().dimensions(), 128u);
  EXPECT_EQ(request.options().prompt_name(), "query");
}

TEST_F(CommandsTest, ServersError_IsOneLineWithCodeAndMessage_AndExit1) {
  server_.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse*) {
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "9120 tokens;\nat most 4096");
      });
  const Outcome outcome = Run({"encode", TextFile("text.txt", "text")});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "longspan: INVALID_ARGUMENT: 9120 tokens; at most 4096\n");
  EXPECT_EQ(outcome.out, "");
}

TEST_F(CommandsTest, NoServerAndPassedDeadline_AreExit2) {
  EXPECT_EQ(Run({"info", "--deadline", "2s"}, "127.0.0.1:1").exit_code, 2);
  server_.set_on_encode(
      [](int, grpc::ServerContext* context, const v1::EncodeRequest&, v1::EncodeResponse*) {
        while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(5));
        return grpc::Status::CANCELLED;
      });
  const Outcome outcome = Run({"encode", TextFile("text.txt", "text"), "--deadline", "200ms"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("DEADLINE_EXCEEDED"));
}

TEST_F(CommandsTest, UnreadableOrInvalidFiles_AreExit3_AndSendNothing) {
  EXPECT_EQ(Run({"encode", "/no/such/file"}).exit_code, 3);
  EXPECT_EQ(Run({"encode", folder_.path()}).exit_code, 3);  // a folder
  const Outcome outcome = Run({"encode", TextFile("latin1.txt", "Gr\xfc\xdf")});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("byte 2 is 0xfc"));
  EXPECT_EQ(server_.encode_calls(), 0);
}

TEST_F(CommandsTest, WrongUsage_IsExit100OrAbove) {
  EXPECT_GE(Run({}).exit_code, 100);
  EXPECT_GE(Run({"encode", "--pooling", "average"}).exit_code, 100);
  EXPECT_GE(Run({"info", "--deadline", "0"}).exit_code, 100);
  EXPECT_GE(Run({"info", "--deadline", "soon"}).exit_code, 100);
  const Outcome help = Run({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Exit codes"));
}

TEST_F(CommandsTest, Info_PrintsJson) {
  const Outcome outcome = Run({"info"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr(R"("model":"fake")"));
}

TEST_F(CommandsTest, ServerOption_WinsOverTheEnvironment) {
  EXPECT_EQ(Run({"info", "--server", server_.address()}, "127.0.0.1:1").exit_code, 0);
}

TEST_F(CommandsTest, Health_PrintsTheStatus_AndNotServingIsExit2) {
  server_.set_not_serving_for(1);
  const Outcome bad = Run({"health"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_EQ(bad.out, "NOT_SERVING\n");
  const Outcome good = Run({"health", "--service", "longspan.v1.EncoderService"});
  EXPECT_EQ(good.exit_code, 0);
  EXPECT_EQ(good.out, "SERVING\n");
  EXPECT_EQ(Run({"health", "--service", "no.such"}).exit_code, 1);
}

TEST_F(CommandsTest, HealthWait_AsksUntilServing) {
  server_.set_not_serving_for(2);
  const Outcome outcome = Run({"health", "--wait", "30"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "SERVING\n");
  EXPECT_EQ(server_.health_checks(), 3);
}

TEST_F(CommandsTest, HealthWait_EndsWithExit2_WhenTheTimeIsUp) {
  server_.set_not_serving_for(1'000'000);
  const absl::Time start = absl::Now();
  EXPECT_EQ(Run({"health", "--wait", "0.5"}).exit_code, 2);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(400));
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_GE(server_.health_checks(), 2);
  EXPECT_EQ(Run({"health", "--wait", "0.5"}, "127.0.0.1:1").exit_code, 2);
}

v1::EncodeResponse LongDocument() {
  v1::EncodeResponse response;
  v1::Encoding* encoding = response.add_encodings();
  encoding->set_tokens_total(51200);
  encoding->set_tokens_used(51200);
  encoding->mutable_vector()->set_dimensions(384);
  for (int i = 0; i < 384; ++i) encoding->mutable_vector()->add_values(static_cast<float>(i) / 100);
  response.mutable_timings()->set_tokenize_ns(20'000'000);
  response.mutable_timings()->set_queue_ns(1'500'000);
  response.mutable_timings()->set_compute_ns(2'000'000'000);
  response.mutable_timings()->set_total_ns(2'021'500'000);
  return response;
}

TEST(SummaryTest, TellsTokensVectorTimesSpeed_AndWhatATruncatingServerWouldHaveRead) {
  const std::string summary = SummaryText("text", LongDocument(), absl::Milliseconds(2030));
  EXPECT_THAT(summary, HasSubstr("51200 tokens read of 51200"));
  EXPECT_THAT(summary, HasSubstr("nothing truncated"));
  EXPECT_THAT(summary, HasSubstr("384 values [0.000000, 0.010000, 0.020000, 0.030000, 0.040000, "
                                 "0.050000, 0.060000, 0.070000, ...]"));
  EXPECT_THAT(summary,
              HasSubstr("tokenize 20.0 ms, queue 1.5 ms, compute 2000.0 ms, total 2021.5 ms"));
  EXPECT_THAT(summary, HasSubstr("25600 tokens/s"));
  EXPECT_THAT(summary,
              HasSubstr("truncates at 512 tokens would have read 1.0 % of this text (512 tokens)"));
}

TEST(SummaryTest, SaysWhereTheTextWasTruncated_AndClaimsNothingAboutShortTexts) {
  v1::EncodeResponse response = LongDocument();
  response.mutable_encodings(0)->set_tokens_used(4096);
  response.mutable_encodings(0)->set_truncated(true);
  EXPECT_THAT(SummaryText("text", response, absl::Seconds(1)),
              HasSubstr("4096 tokens read of 51200 (4 bytes), TRUNCATED"));
  response.mutable_encodings(0)->set_tokens_total(100);
  EXPECT_THAT(SummaryText("text", response, absl::Seconds(1)), Not(HasSubstr("512")));
}

TEST(JoinLinesTest, JoinsWhiteSpace_AndCutsBetweenCharacters) {
  EXPECT_EQ(JoinLines(" a\n\t b ", 100), "a b ");
  EXPECT_EQ(JoinLines("aü", 2), "a...");
}

TEST(FindInvalidUtf8Test, KnowsTheBordersOfEachForm) {
  const auto npos = std::string_view::npos;
  for (const char* good : {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(FindInvalidUtf8(good), npos) << testing::PrintToString(good);
  for (const char* bad :
       {"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xc2", "\xe2\x82", "\xf0\x9f\x98", "\xe2\x82\x20"})
    EXPECT_EQ(FindInvalidUtf8(std::string("ok") + bad), 2u) << testing::PrintToString(bad);
}

}  // namespace
}  // namespace longspan
