// The command line as a user meets it: the exit codes, what is printed on stdout and on stderr, and
// the requests that the options make.
#include "client/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "client/info_text.h"
#include "client/summary.h"
#include "client/text_file.h"
#include "tests/client/command_line.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::Not;

class CommandsTest : public CommandLineTest {};

TEST_F(CommandsTest, Encode_PrintsJson_AndSendsWhatTheOptionsSay) {
  server_.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse* response) {
        response->add_encodings()->set_tokens_total(7);
        return grpc::Status::OK;
      });
  const Outcome outcome = Run(
      {"encode", TextFile("text.txt", "Grüße"), "--pooling", "mean-sqrt-len", "--truncation",
       "head_tail", "--spans", "paragraphs", "--span-min-tokens", "16", "--span-max-tokens", "256",
       "--dimensions", "128", "--prompt", "query", "--lexical", "--lexical-language", "german"});
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
  EXPECT_EQ(request.options().lexical().language(), "german");
}

TEST_F(CommandsTest, WordsAreAskedFor_WhereTheyAreWanted) {
  Run({"encode", TextFile("text.txt", "text")});
  EXPECT_FALSE(server_.last_request().options().has_lexical());
  Run({"encode", TextFile("text.txt", "text"), "--lexical"});
  EXPECT_TRUE(server_.last_request().options().has_lexical());
  EXPECT_GE(Run({"encode", TextFile("text.txt", "text"), "--lexical-language", "german"}).exit_code,
            100);
}

// A folder with two texts, of which the second answers.
v1::SearchResponse SecondAnswers() {
  v1::SearchResponse response;
  v1::SearchResult* result = response.add_results();
  result->set_index(1);
  result->set_score(1.5);
  v1::SearchSpan* span = result->add_spans();
  span->mutable_bytes()->set_begin(4);
  span->mutable_bytes()->set_end(18);
  span->mutable_characters()->set_end(14);
  response.set_documents_tokens(12);
  return response;
}

TEST_F(CommandsTest, Search_AsksForAllFiles_AndPrintsThePlaces) {
  TextFile("texts/a.md", "nothing");
  TextFile("texts/b.md", "one\nThe lease ends.");
  TextFile("texts/c.log", "left out");
  server_.set_search_response(SecondAnswers());
  const Outcome outcome =
      Run({"search", "when does the lease end?", folder_.path() + "/texts", "--include", "*.md",
           "--limit", "4", "--spans", "2", "--span-tokens", "128", "--language", "german",
           "--lexical-weight", "0.25", "--truncation", "windows", "--max-tokens", "100"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("1  " + folder_.path() + "/texts/b.md"));
  EXPECT_THAT(outcome.out, HasSubstr("line 2, characters 0..14"));
  EXPECT_THAT(outcome.out, HasSubstr("     The lease ends\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));  // no terminal
  EXPECT_THAT(outcome.err, HasSubstr("2 texts, 12 tokens read"));
  const v1::SearchRequest request = server_.last_search();
  EXPECT_EQ(request.query(), "when does the lease end?");
  ASSERT_EQ(request.documents_size(), 2);
  EXPECT_EQ(request.documents(0).text(), "nothing");
  EXPECT_EQ(request.options().max_documents(), 4u);
  EXPECT_EQ(request.options().max_spans(), 2u);
  EXPECT_EQ(request.options().span_tokens(), 128u);
  EXPECT_EQ(request.options().language(), "german");
  EXPECT_EQ(request.options().lexical_weight(), 0.25);
  EXPECT_FALSE(request.options().has_late_weight());
  EXPECT_EQ(request.options().truncation(), v1::TRUNCATION_WINDOWS);
  EXPECT_EQ(request.options().max_tokens(), 100u);
  EXPECT_FALSE(request.options().best_tokens()) << "nothing is underlined";
}

TEST_F(CommandsTest, Search_InColour_OnRequest_AndAsJson) {
  const std::string a = TextFile("a", "nothing"), b = TextFile("b", "one\nThe lease ends.");
  server_.set_search_response(SecondAnswers());
  EXPECT_THAT(Run({"search", "lease", a, b, "--color", "always"}).out,
              HasSubstr("The \x1b[1;33mlease\x1b[0m ends"));
  EXPECT_TRUE(server_.last_search().options().best_tokens());
  EXPECT_THAT(Run({"search", "lease", a, b, "--format", "json"}).out, HasSubstr("\"results\":[{"));
  const Outcome missing = Run({"search", "lease", a, b, folder_.path() + "/none"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.out, HasSubstr("The lease ends"));  // the others are searched
  EXPECT_THAT(missing.err, HasSubstr("none cannot be read"));
}

TEST_F(CommandsTest, EncodeWithAQuery_Searches) {
  const std::string file = TextFile("b", "The lease ends.");
  EXPECT_EQ(Run({"encode", file, "--query", "lease", "--truncation", "head"}).exit_code, 0);
  EXPECT_EQ(server_.last_search().query(), "lease");
  EXPECT_EQ(server_.last_search().options().max_spans(), 5u);
  EXPECT_EQ(server_.last_search().options().truncation(), v1::TRUNCATION_HEAD);
  EXPECT_EQ(server_.encode_calls(), 0);
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
  const Outcome empty = Run({"encode", folder_.path()});
  EXPECT_EQ(empty.exit_code, 3);
  EXPECT_THAT(empty.err, HasSubstr("there is no text to encode"));
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

TEST_F(CommandsTest, Info_IsForPeople_AndJsonForScripts) {
  const Outcome people = Run({"info"});
  EXPECT_EQ(people.exit_code, 0);
  EXPECT_THAT(people.out, HasSubstr("model      fake\n"));
  EXPECT_THAT(people.out, HasSubstr("384 values of a text"));
  const Outcome scripts = Run({"info", "--format", "json"});
  EXPECT_EQ(scripts.exit_code, 0);
  EXPECT_THAT(scripts.out, HasSubstr(R"("model":"fake")"));
}

TEST(InfoTextTest, LimitsHaveTheirUnits_AndWhatSetsThem) {
  v1::GetModelInfoResponse info;
  v1::Limits* limits = info.mutable_limits();
  limits->set_max_tokens(4096);
  limits->set_max_tokens_set_by("model");
  limits->set_max_text_bytes(8 << 20);
  limits->set_max_request_bytes(1000);
  limits->set_default_deadline_seconds(90);
  for (int i = 0; i < 6; ++i) {
    v1::LayerAttention* layer = info.add_layers();
    layer->set_kind(i == 5 ? "dense" : "sliding_window");
    if (i < 5) layer->set_window(128);
  }
  const std::string text = InfoText(info);
  for (const char* line :
       {"max_tokens                   4096 (set by: model)\n",
        "max_text_bytes               8 MiB\n", "max_request_bytes            1000 bytes\n",
        "default_deadline_seconds     1m30s\n", "max_queue_tokens             none\n",
        "5 x sliding_window (128 on each side), 1 x dense\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

// Answers an item by the length of its text: its tokens, and a vector of two values.
void AnswerByLength(const v1::EncodeStreamRequest& item, v1::EncodeStreamResponse* response) {
  const auto length = static_cast<float>(item.input().text().size());
  v1::Encoding* encoding = response->mutable_encoding();
  if (item.input().text() == "refuse me") {
    encoding->mutable_status()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
    encoding->mutable_status()->set_message("input.text is refused");
    return;
  }
  encoding->set_tokens_used(item.input().text().size());
  encoding->mutable_vector()->add_values(length);
  encoding->mutable_vector()->add_values(-1);
}

class EncodeFilesTest : public CommandsTest {
 protected:
  EncodeFilesTest() { server_.set_on_item(AnswerByLength); }
  // Files and folders that people have beside their texts.
  void FillFolder() {
    std::filesystem::create_directories(folder_.path() + "/b/.git");
    TextFile("a.txt", "one");
    TextFile("b/c.md", "three");
    TextFile("b/.git/config", "hidden");
    TextFile(".hidden", "hidden");
    TextFile("logo.png", std::string("\x89PNG\0\1", 6));
    TextFile("empty.txt", "");
    std::filesystem::create_directory_symlink(folder_.path(), folder_.path() + "/b/again");
  }
};

TEST_F(EncodeFilesTest, AFolder_IsAllItsTexts_AndWhatIsSkippedIsSaid) {
  FillFolder();
  const Outcome outcome = Run({"encode", folder_.path()});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const std::string in = folder_.path();
  EXPECT_THAT(outcome.out, HasSubstr("\"id\":\"" + in + "/a.txt\""));
  EXPECT_THAT(outcome.out, HasSubstr("\"id\":\"" + in + "/b/c.md\""));
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
  for (const char* line : {"/.hidden is hidden\n", "/b/.git is hidden\n", "/logo.png is binary\n",
                           "/empty.txt is empty\n", "/b/again is a link to a folder\n"})
    EXPECT_THAT(outcome.err, HasSubstr(line));
}

TEST_F(EncodeFilesTest, OneBadFile_IsALineAndACode_AndTheOthersAreDone) {
  const std::string good = TextFile("good.txt", "good"), also = TextFile("also.txt", "also good");
  const std::string latin = TextFile("latin1.txt", "Gr\xfc\xdf");
  const Outcome outcome = Run({"encode", good, latin, "/no/such/file", also});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2);
  EXPECT_THAT(outcome.err, HasSubstr("byte 2 is 0xfc"));
  EXPECT_THAT(outcome.err, HasSubstr("/no/such/file cannot be read"));
  const Outcome refused = Run({"encode", good, TextFile("bad.txt", "refuse me"), latin, also});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(std::count(refused.out.begin(), refused.out.end(), '\n'), 2);
  EXPECT_THAT(refused.err,
              HasSubstr("INVALID_ARGUMENT: " + folder_.path() + "/bad.txt: input.text is refused"));
}

TEST_F(EncodeFilesTest, OptionsReachEachText_AndIncludeChooses) {
  FillFolder();
  std::mutex mu;
  std::vector<v1::EncodeStreamRequest> items;
  server_.set_on_item([&](const v1::EncodeStreamRequest& item, v1::EncodeStreamResponse*) {
    const std::lock_guard lock(mu);
    items.push_back(item);
  });
  const Outcome outcome = Run({"encode", "--include", "*.md", folder_.path(), "--spans",
                               "fixed:128:16", "--max-tokens", "512", "--format", "table"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].input().text(), "three");
  EXPECT_EQ(items[0].options().span_policy(), v1::SPAN_POLICY_FIXED);
  EXPECT_EQ(items[0].options().span_tokens(), 128u);
  EXPECT_EQ(items[0].options().span_overlap_tokens(), 16u);
  EXPECT_EQ(items[0].options().max_tokens(), 512u);
  EXPECT_EQ(items[0].options().max_answer_bytes(), 64u << 20);
  EXPECT_THAT(outcome.out, HasSubstr("/b/c.md\n"));
}

TEST_F(EncodeFilesTest, Npy_IsNumpysMatrix_WithTheIdsBesideIt) {
  const std::string out = folder_.path() + "/vectors.npy";
  const Outcome outcome = Run({"encode", TextFile("a.txt", "one"), TextFile("b.txt", "three"),
                               "--format", "npy", "--out", out});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  std::stringstream npy, ids;
  npy << std::ifstream(out).rdbuf();
  ids << std::ifstream(folder_.path() + "/vectors.ids.jsonl").rdbuf();
  const std::string bytes = npy.str();
  ASSERT_EQ(bytes.size(), 128u + 4 * sizeof(float));
  EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\1\0\x76\0", 10));
  EXPECT_THAT(bytes, HasSubstr("'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)"));
  EXPECT_EQ(bytes[127], '\n');
  float values[4];
  std::memcpy(values, bytes.data() + 128, sizeof(values));
  EXPECT_THAT(values, testing::ElementsAre(3, -1, 5, -1));
  EXPECT_EQ(ids.str(), "{\"id\":\"" + folder_.path() + "/a.txt\",\"row\":0}\n{\"id\":\"" +
                           folder_.path() + "/b.txt\",\"row\":1}\n");
}

TEST_F(EncodeFilesTest, WhatDoesNotGoTogether_IsWrongUsage) {
  const std::string file = TextFile("a.txt", "one");
  EXPECT_GE(Run({"encode", file, "--format", "npy"}).exit_code, 100);
  EXPECT_GE(Run({"encode", file, "--out", "x.npy"}).exit_code, 100);
  EXPECT_GE(Run({"encode", file, file, "--format", "json"}).exit_code, 100);
  EXPECT_GE(Run({"encode", folder_.path(), "--summary"}).exit_code, 100);
  for (const char* spans : {"given", "fixed", "fixed:0", "fixed:8:8", "fixed:8:1:1", "words"})
    EXPECT_GE(Run({"encode", file, "--spans", spans}).exit_code, 100) << spans;
  for (const char* spans : {"none", "sentences", "fixed:8", "fixed:8:7"})
    EXPECT_EQ(Run({"encode", file, "--spans", spans}).exit_code, 0) << spans;
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
  std::vector<size_t> from;
  EXPECT_EQ(JoinLines(" a\n\t büc", 4, &from), "a b...");
  EXPECT_EQ(from, (std::vector<size_t>{1, 2, 5}));
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
