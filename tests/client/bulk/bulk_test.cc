// `longspan bulk` and `longspan merge` as a user meets them, against servers that do as they are
// told: what is in the folder, what is rejected, and that a run goes on where it stopped.
#include "client/bulk/bulk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "client/bulk/merge.h"
#include "client/bulk/record_source.h"
#include "client/npy.h"
#include "tests/client/fake_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kDimensions = 3;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

std::vector<nlohmann::json> ReadLines(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// The first value of each row of a matrix of float32.
std::vector<float> FirstValues(const std::string& path) {
  const std::string bytes = ReadAll(path);
  EXPECT_THAT(bytes.substr(0, kNpyHeadBytes), HasSubstr("'descr': '<f4'"));
  std::vector<float> values;
  for (size_t at = kNpyHeadBytes; at + kDimensions * 4 <= bytes.size(); at += kDimensions * 4) {
    float value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof(value));
    values.push_back(value);
  }
  EXPECT_THAT(bytes, HasSubstr("'shape': (" + std::to_string(values.size()) + ", 3)"));
  return values;
}

void SetVector(float first, v1::VectorFormat format, v1::Vector* vector) {
  vector->set_format(format);
  vector->set_dimensions(kDimensions);
  if (format == v1::VECTOR_FORMAT_FLOAT32) {
    for (int i = 0; i < kDimensions; ++i) vector->add_values(first + static_cast<float>(i));
  } else {
    vector->set_data(std::string(2 * kDimensions, 'h'));
  }
}

// Answers a text that is a number with a vector which begins with it, and a span for each of its
// characters where spans are asked for. "bad" is refused.
grpc::Status EncodeNumber(const v1::EncodeRequest& request, v1::EncodeResponse* response) {
  const std::string& text = request.inputs(0).text();
  if (text == "bad") return {grpc::StatusCode::INVALID_ARGUMENT, "inputs[0].text is bad"};
  v1::Encoding* encoding = response->add_encodings();
  const float value = text == "longspan" ? 0 : std::stof(text);
  encoding->set_tokens_used(2);
  SetVector(value, request.options().vector_format(), encoding->mutable_vector());
  if (request.options().span_policy() != v1::SPAN_POLICY_SENTENCES) return grpc::Status::OK;
  for (size_t i = 0; i < text.size(); ++i) {
    v1::SpanEncoding* span = encoding->add_spans();
    span->mutable_characters()->set_begin(i);
    span->mutable_characters()->set_end(i + 1);
    SetVector(value, request.options().vector_format(), span->mutable_vector());
  }
  return grpc::Status::OK;
}

class BulkTest : public testing::Test {
 protected:
  BulkTest() { Answer(&server_); }

  static void Answer(FakeServer* server) {
    server->set_on_encode(
        [](int, grpc::ServerContext*, const v1::EncodeRequest& request,
           v1::EncodeResponse* response) { return EncodeNumber(request, response); });
  }
  // A file of so many records, of which each text is its number.
  std::string Numbers(int records) {
    std::string lines;
    for (int i = 0; i < records; ++i)
      lines += "{\"id\":\"n" + std::to_string(i) + "\",\"text\":\"" + std::to_string(i) + "\"}\n";
    return folder_.WriteText("in.jsonl", lines);
  }
  BulkCommand Command(const std::string& file, const std::string& out = "out") {
    BulkCommand command;
    command.files = {file};
    command.out = folder_.path() + "/" + out;
    command.concurrency = 8;
    return command;
  }
  int Run(const BulkCommand& command, std::vector<std::string> servers = {}) {
    if (servers.empty()) servers = {server_.address()};
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    CommonOptions common;
    common.deadline = deadline_;
    const int code = RunBulk(common, servers, command);
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }
  std::string Path(const std::string& name) { return folder_.path() + "/out/" + name; }
  // That each of the records, or of those of a shard, has its row, in order.
  void ExpectRows(const std::string& folder, const std::vector<int>& numbers) {
    const auto rows = ReadLines(folder + "/rows.jsonl");
    const auto values = FirstValues(folder + "/vectors.npy");
    ASSERT_EQ(rows.size(), numbers.size());
    ASSERT_EQ(values.size(), numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) {
      EXPECT_EQ(rows[i]["row"], i);
      EXPECT_EQ(rows[i]["id"], "n" + std::to_string(numbers[i]));
      EXPECT_EQ(values[i], static_cast<float>(numbers[i]));
    }
  }
  static std::vector<int> UpTo(int end, int begin = 0, int step = 1) {
    std::vector<int> numbers;
    for (int i = begin; i < end; i += step) numbers.push_back(i);
    return numbers;
  }

  FakeServer server_;
  TemporaryFolder folder_;
  absl::Duration deadline_ = absl::Seconds(20);
  std::string out_, err_;
};

TEST_F(BulkTest, EachRecordHasItsRow_InOrder) {
  EXPECT_EQ(Run(Command(Numbers(500))), 0) << err_;
  ExpectRows(folder_.path() + "/out", UpTo(500));
  EXPECT_THAT(out_, HasSubstr("500 rows, 0 spans, 0 rejected, 1000 tokens"));
  EXPECT_THAT(ReadLines(Path("rejects.jsonl")), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(Path("spans.npy")));
}

TEST_F(BulkTest, WhatIsRejected_IsNamedWithItsPlace_AndTheOthersAreDone) {
  const std::string file = folder_.WriteText(
      "in.jsonl",
      "{\"id\":\"n0\",\"text\":\"0\"}\n\n{\"id\":\"b\",\"text\":\"bad\"}\nno record\n"
      "{\"id\":\"n3\",\"text\":\"3\"}\n");
  EXPECT_EQ(Run(Command(file)), 1);
  ExpectRows(folder_.path() + "/out", {0, 3});
  const auto rejects = ReadLines(Path("rejects.jsonl"));
  ASSERT_EQ(rejects.size(), 2u);
  EXPECT_EQ(rejects[0]["id"], "b");
  EXPECT_EQ(rejects[0]["record"], 1);
  EXPECT_EQ(rejects[0]["line"], 3);
  EXPECT_EQ(rejects[0]["code"], "INVALID_ARGUMENT");
  EXPECT_THAT(rejects[0]["message"].get<std::string>(), HasSubstr("is bad"));
  EXPECT_EQ(rejects[1]["line"], 4);
  EXPECT_THAT(err_, HasSubstr("2 records have no vector"));
}

TEST_F(BulkTest, MaxRejects_EndsTheRun) {
  std::string lines;
  for (int i = 0; i < 50; ++i) lines += "{\"text\":\"bad\"}\n";
  BulkCommand command = Command(folder_.WriteText("in.jsonl", lines));
  command.max_rejects = 3;
  EXPECT_EQ(Run(command), 4);
  EXPECT_EQ(ReadLines(Path("rejects.jsonl")).size(), 3u);
  EXPECT_THAT(err_, HasSubstr("record 3 is rejected: inputs[0].text is bad"));
  command.max_rejects = -1;  // goes on
  EXPECT_EQ(Run(command), 1);
  EXPECT_EQ(ReadLines(Path("rejects.jsonl")).size(), 50u);
}

TEST_F(BulkTest, Spans_HaveAMatrixOfTheirOwn) {
  BulkCommand command = Command(Numbers(12));
  command.encode.spans = "sentences";
  EXPECT_EQ(Run(command), 0) << err_;
  const auto spans = ReadLines(Path("spans.jsonl"));
  ASSERT_EQ(spans.size(), 14u);  // "10" and "11" have two characters
  EXPECT_EQ(spans[13]["id"], "n11");
  EXPECT_EQ(spans[13]["record"], 11);
  EXPECT_EQ(spans[13]["row"], 13);
  EXPECT_EQ(spans[13]["characters"], nlohmann::json({1, 2}));
  EXPECT_EQ(FirstValues(Path("spans.npy")).back(), 11);
}

TEST_F(BulkTest, Float16_IsWrittenAsItCame) {
  BulkCommand command = Command(Numbers(4));
  command.type = "float16";
  EXPECT_EQ(Run(command), 0) << err_;
  const std::string bytes = ReadAll(Path("vectors.npy"));
  EXPECT_THAT(bytes, HasSubstr("'descr': '<f2'"));
  EXPECT_EQ(bytes.substr(kNpyHeadBytes), std::string(4 * 2 * kDimensions, 'h'));
}

TEST_F(BulkTest, ARunThatIsDone_IsNotDoneAgain) {
  const BulkCommand command = Command(Numbers(20));
  EXPECT_EQ(Run(command), 0) << err_;
  const std::string before = ReadAll(Path("vectors.npy"));
  const int calls = server_.encode_calls();
  EXPECT_EQ(Run(command), 0) << err_;
  EXPECT_EQ(server_.encode_calls(), calls + 1);  // the word that tries the options
  EXPECT_EQ(ReadAll(Path("vectors.npy")), before);
}

// The server goes away for good after so many answers: the run ends with code 2, and goes on.
TEST_F(BulkTest, GoesOn_WhereTheServerWasLost) {
  deadline_ = absl::Seconds(1);
  const BulkCommand command = Command(Numbers(300));
  for (const int limit : {40, 0, 90}) {
    std::atomic<int> answers = 0;
    server_.set_on_encode([&](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                              v1::EncodeResponse* response) -> grpc::Status {
      if (request.inputs(0).text() != "longspan" && ++answers > limit)
        return {grpc::StatusCode::UNAVAILABLE, "gone"};
      return EncodeNumber(request, response);
    });
    EXPECT_EQ(Run(command), 2);
    EXPECT_THAT(err_, HasSubstr("gone"));
  }
  Answer(&server_);
  EXPECT_EQ(Run(command), 0) << err_;
  ExpectRows(folder_.path() + "/out", UpTo(300));
}

// What a kill in the middle of a write leaves: files that are longer than the checkpoint says.
TEST_F(BulkTest, WhatIsBehindTheCheckpoint_IsCutOff) {
  const BulkCommand command = Command(Numbers(30));
  EXPECT_EQ(Run(command), 0) << err_;
  const std::string vectors = ReadAll(Path("vectors.npy")), rows = ReadAll(Path("rows.jsonl"));
  auto checkpoint = nlohmann::json::parse(ReadAll(Path("checkpoint.json")));
  const auto lines = ReadLines(Path("rows.jsonl"));
  // As it was behind the tenth record.
  size_t row_bytes = 0;
  for (int i = 0; i < 10; ++i) row_bytes = rows.find('\n', row_bytes) + 1;
  const std::string input = ReadAll(command.files[0]);
  size_t offset = 0;
  for (int i = 0; i < 10; ++i) offset = input.find('\n', offset) + 1;
  RecordSource source({.files = command.files});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(source.Next().ok());
  checkpoint["position"] = {{"file", 0}, {"offset", offset}, {"line", 10}, {"records", 10}};
  checkpoint["position"]["checksum"] = source.position().checksum;
  checkpoint["rows"] = 10;
  checkpoint["tokens"] = 20;
  checkpoint["done"] = false;
  checkpoint["bytes"]["rows.jsonl"] = row_bytes;
  checkpoint["bytes"]["vectors.npy"] = kNpyHeadBytes + 10 * 4 * kDimensions;
  folder_.WriteText("out/checkpoint.json", checkpoint.dump());
  folder_.WriteText("out/rows.jsonl", rows.substr(0, row_bytes + 17));
  folder_.WriteText("out/vectors.npy", vectors.substr(0, kNpyHeadBytes + 10 * 4 * kDimensions + 5));
  EXPECT_EQ(Run(command), 0) << err_;
  EXPECT_EQ(ReadAll(Path("vectors.npy")), vectors);
  EXPECT_EQ(ReadAll(Path("rows.jsonl")), rows);

  // Less than the checkpoint says is no longer what the run wrote.
  checkpoint["bytes"]["rows.jsonl"] = rows.size() + 1;
  folder_.WriteText("out/checkpoint.json", checkpoint.dump());
  EXPECT_EQ(Run(command), 3);
  EXPECT_THAT(err_, HasSubstr("rows.jsonl has"));
}

TEST_F(BulkTest, AnotherRun_DoesNotGoOnInTheFolder) {
  BulkCommand command = Command(Numbers(10));
  EXPECT_EQ(Run(command), 0) << err_;
  BulkCommand other = command;
  other.encode.dimensions = 2;
  other.type = "float16";
  EXPECT_EQ(Run(other), 3);
  EXPECT_THAT(err_, HasSubstr("options.dimensions: 0, now 2"));
  EXPECT_THAT(err_, HasSubstr("type: \"float32\", now \"float16\""));
  other = command;
  other.shard = "1/2";
  EXPECT_EQ(Run(other), 3);
}

TEST_F(BulkTest, AFolderOfOthers_IsLeftAlone) {
  std::filesystem::create_directory(folder_.path() + "/out");
  folder_.WriteText("out/precious.txt", "precious");
  EXPECT_EQ(Run(Command(Numbers(1))), 3);
  EXPECT_THAT(err_, HasSubstr("not empty, and no run of longspan bulk (precious.txt)"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path() + "/out"), {}), 1);
}

TEST_F(BulkTest, TwoRuns_DoNotWriteIntoOneFolder) {
  std::filesystem::create_directory(folder_.path() + "/out");
  const int lock = open((folder_.path() + "/out").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  EXPECT_EQ(Run(Command(Numbers(1))), 3);
  EXPECT_THAT(err_, HasSubstr("in use by another longspan bulk"));
  close(lock);
}

TEST_F(BulkTest, WrongOptions_AreToldBeforeTheFolderIsMade) {
  server_.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse*) {
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "options.dimensions is 9999");
      });
  EXPECT_EQ(Run(Command(Numbers(10))), 4);
  EXPECT_THAT(err_, HasSubstr("options.dimensions is 9999"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/out"));
}

TEST_F(BulkTest, AnInputThatIsNotThere_BeginsNoFolder) {
  EXPECT_EQ(Run(Command(folder_.path() + "/typo.jsonl")), 3);
  EXPECT_THAT(err_, HasSubstr("typo.jsonl cannot be read: No such file"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/out"));
  EXPECT_EQ(Run(Command(Numbers(3))), 0) << err_;
}

TEST_F(BulkTest, AnInputThatIsCut_IsAnError_BehindWhatCouldBeRead) {
  BulkCommand command = Command(Numbers(10));
  command.files.push_back(folder_.WriteText("cut.gz", "\x1f\x8b\x08"));
  EXPECT_EQ(Run(command), 3);
  EXPECT_THAT(err_, HasSubstr("cut.gz"));
  ExpectRows(folder_.path() + "/out", UpTo(10));
}

TEST_F(BulkTest, SeveralServers_ShareTheRecords_AndOneMayGo) {
  FakeServer second;
  auto third = std::make_unique<FakeServer>();
  const std::string gone = third->address();
  std::atomic<int> of_third = 0;
  for (FakeServer* server : {&server_, &second, third.get()}) {
    server->set_on_encode([&, server](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                                      v1::EncodeResponse* response) -> grpc::Status {
      if (server->address() == gone && ++of_third > 30)
        return {grpc::StatusCode::UNAVAILABLE, "draining"};
      absl::SleepFor(absl::Milliseconds(1));
      return EncodeNumber(request, response);
    });
  }
  EXPECT_EQ(Run(Command(Numbers(600)), {server_.address(), second.address(), gone}), 0) << err_;
  ExpectRows(folder_.path() + "/out", UpTo(600));
  EXPECT_GT(server_.encode_calls(), 100);
  EXPECT_GT(second.encode_calls(), 100);
  EXPECT_GT(of_third, 30);
}

TEST_F(BulkTest, OverloadIsWaitedOut) {
  server_.set_on_encode([](int attempt, grpc::ServerContext* context,
                           const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) -> grpc::Status {
    if (attempt % 3 != 0) return EncodeNumber(request, response);
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "20");
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full"};
  });
  EXPECT_EQ(Run(Command(Numbers(100))), 0) << err_;
  ExpectRows(folder_.path() + "/out", UpTo(100));
}

// What the server says never to send again is a fault of that text.
TEST_F(BulkTest, ATextThatNeverSucceeds_IsRejected_AndTheOthersAreDone) {
  server_.set_on_encode([](int, grpc::ServerContext* context, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) -> grpc::Status {
    if (request.inputs(0).text() != "7") return EncodeNumber(request, response);
    context->AddTrailingMetadata("grpc-retry-pushback-ms", "-1");
    return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too large for ever"};
  });
  EXPECT_EQ(Run(Command(Numbers(9))), 1);
  ExpectRows(folder_.path() + "/out", {0, 1, 2, 3, 4, 5, 6, 8});
  EXPECT_EQ(ReadLines(Path("rejects.jsonl"))[0]["id"], "n7");
}

TEST_F(BulkTest, ACallerThatIsRefused_EndsTheRun) {
  server_.set_on_encode([](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) -> grpc::Status {
    if (request.inputs(0).text() == "longspan") return EncodeNumber(request, response);
    return {grpc::StatusCode::UNAUTHENTICATED, "the key is not known"};
  });
  EXPECT_EQ(Run(Command(Numbers(100))), 4);
  EXPECT_THAT(err_, HasSubstr("the key is not known"));
  EXPECT_THAT(ReadLines(Path("rejects.jsonl")), IsEmpty());
}

// The shards of one run, put together, are the folder that a single run makes, byte for byte.
TEST_F(BulkTest, MergedShards_AreTheWholeRun) {
  std::string lines;
  for (int i = 0; i < 101; ++i)
    lines += i % 7 == 3 ? "{\"text\":\"bad\"}\n"
                        : "{\"id\":\"n" + std::to_string(i) + "\",\"text\":\"" + std::to_string(i) +
                              "\"}\n";
  const std::string file = folder_.WriteText("in.jsonl", lines);
  BulkCommand whole = Command(file, "whole");
  whole.encode.spans = "sentences";
  EXPECT_EQ(Run(whole), 1);
  MergeCommand merge{.out = folder_.path() + "/merged"};
  for (const char* shard : {"2/3", "0/3", "1/3"}) {
    BulkCommand command = Command(file, std::string("shards/shard") + shard[0]);
    command.encode.spans = "sentences";
    command.shard = shard;
    EXPECT_EQ(Run(command), 1);
    merge.shards.push_back(command.out);
  }
  EXPECT_TRUE(MergeShards(merge).ok()) << MergeShards(merge);
  for (const char* name :
       {"vectors.npy", "rows.jsonl", "spans.npy", "spans.jsonl", "rejects.jsonl"})
    EXPECT_TRUE(ReadAll(whole.out + "/" + name) == ReadAll(merge.out + "/" + name)) << name;
  for (const char* name : {"run.json", "checkpoint.json"})
    EXPECT_EQ(nlohmann::json::parse(ReadAll(whole.out + "/" + name)),
              nlohmann::json::parse(ReadAll(merge.out + "/" + name)));

  // A folder of them is all of them; other folders in it are not, nor is what a merge into it left
  // when it was killed.
  std::filesystem::create_directory(folder_.path() + "/shards/notes");
  const MergeCommand of_folder{.shards = {folder_.path() + "/shards"},
                               .out = folder_.path() + "/shards/merged"};
  std::filesystem::copy(whole.out, of_folder.out + ".part");
  EXPECT_TRUE(MergeShards(of_folder).ok()) << MergeShards(of_folder);
  EXPECT_TRUE(ReadAll(of_folder.out + "/rows.jsonl") == ReadAll(merge.out + "/rows.jsonl"));
  EXPECT_THAT(std::string(MergeShards({.shards = {folder_.path() + "/shards/notes"},
                                       .out = merge.out + "4"})
                              .message()),
              HasSubstr("holds none"));

  MergeCommand wrong{.shards = {merge.shards[0], merge.shards[1]}, .out = merge.out + "2"};
  EXPECT_THAT(std::string(MergeShards(wrong).message()), HasSubstr("expected: 0 of 2"));
  wrong.shards = {merge.shards[0], merge.shards[1], merge.shards[1]};
  EXPECT_THAT(std::string(MergeShards(wrong).message()), HasSubstr("each once"));
  wrong = merge;
  EXPECT_THAT(std::string(MergeShards(wrong).message()), HasSubstr("exists"));
  // A row that is lost is found.
  const std::string rows = merge.shards[0] + "/rows.jsonl";
  const std::string content = ReadAll(rows);
  std::ofstream(rows) << content.substr(content.find('\n') + 1);
  wrong.out = merge.out + "3";
  EXPECT_THAT(std::string(MergeShards(wrong).message()), HasSubstr("is neither in"));
  EXPECT_FALSE(std::filesystem::exists(wrong.out));
}

TEST_F(BulkTest, AShardThatIsNotDone_IsNotMerged) {
  deadline_ = absl::Seconds(1);
  server_.set_on_encode([](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                           v1::EncodeResponse* response) -> grpc::Status {
    if (request.inputs(0).text() == "50") return {grpc::StatusCode::UNAVAILABLE, "gone"};
    return EncodeNumber(request, response);
  });
  const BulkCommand command = Command(Numbers(100));
  EXPECT_EQ(Run(command), 2);
  const absl::Status status =
      MergeShards({.shards = {command.out}, .out = folder_.path() + "/merged"});
  EXPECT_THAT(std::string(status.message()), HasSubstr("is not done"));
}

TEST(CheckShardTest, IsIndexAndNumber) {
  for (const char* good : {"0/1", "2/3"}) EXPECT_EQ(CheckShard(good), "");
  for (const char* bad : {"", "1", "3/3", "-1/3", "0/0", "a/b", "1/2/3"})
    EXPECT_THAT(CheckShard(bad), HasSubstr("INDEX/NUMBER")) << bad;
}

}  // namespace
}  // namespace longspan
