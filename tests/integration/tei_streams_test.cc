// The streams of tei.v1 on a real server: their order, what one bad item does to them, and the
// bounds on what they hold.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <random>
#include <thread>

#include "tests/integration/tei_calls.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::Duration kLong = absl::Seconds(120);
const std::string kBert = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";

FakeModel ModelOfTexts() { return {.max_tokens = 1 << 20, .tokenizer_folder = kBert}; }

// A model whose first text stays in its pass until `release`; another replica computes the others.
struct HeldFirst {
  HeldFirst() {
    model = ModelOfTexts();
    model.fault = [this](int32_t, int32_t) {
      if (!taken.exchange(true)) {
        absl::MutexLock lock(&mu);
        mu.Await(absl::Condition(&released));
      }
      return absl::OkStatus();
    };
  }
  void Release() {
    absl::MutexLock lock(&mu);
    released = true;
  }
  FakeModel model;
  std::atomic<bool> taken = false;
  absl::Mutex mu;
  bool released = false;
};

// The texts of one stream are told apart by their numbers of characters.
std::string TextOf(int words) {
  std::string text = "the";
  for (int i = 1; i < words; ++i) text += " the";
  return text;
}
int WordsOf(const tei::v1::EmbedResponse& answer) {
  return static_cast<int>(answer.metadata().compute_chars() + 1) / 4;
}

// Waits until the count stands still.
int64_t Settled(const std::function<int64_t()>& count) {
  int64_t before = -1;
  while (before != count()) {
    before = count();
    absl::SleepFor(absl::Milliseconds(300));
  }
  return before;
}

class EmbedStream {
 public:
  explicit EmbedStream(TestServer& server) : stubs_(server.client()) {
    server.client().Prepare(&context_, kLong);
    stream_ = stubs_.embed->EmbedStream(&context_);
  }
  bool Write(const tei::v1::EmbedRequest& request) { return stream_->Write(request); }
  bool Write(int words) { return Write(EmbedText(TextOf(words))); }
  void WritesDone() { stream_->WritesDone(); }
  // Words of the texts that were answered, until the stream ends.
  std::vector<int> ReadAll() {
    std::vector<int> words;
    tei::v1::EmbedResponse response;
    while (stream_->Read(&response)) words.push_back(WordsOf(response));
    return words;
  }
  bool Read(tei::v1::EmbedResponse* response) { return stream_->Read(response); }
  grpc::Status Finish() { return stream_->Finish(); }
  void Cancel() { context_.TryCancel(); }

 private:
  TeiStubs stubs_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<tei::v1::EmbedRequest, tei::v1::EmbedResponse>> stream_;
};

TEST(TeiEmbedStreamTest, AnswersInTheOrderOfTheRequests_HoweverLongTheirTexts) {
  TestServer server(ModelOfTexts(), {.replicas = 2, .threads = 1, .max_stream_inputs = 32});
  EmbedStream stream(server);
  std::mt19937 random(7);
  std::vector<int> words;
  for (int i = 0; i < 400; ++i)
    words.push_back(i % 9 == 0 ? 10'000 + static_cast<int>(random() % 20'000)
                               : 1 + static_cast<int>(random() % 200));
  std::thread writer([&] {
    for (const int count : words) ASSERT_TRUE(stream.Write(count));
    stream.WritesDone();
  });
  EXPECT_EQ(stream.ReadAll(), words);
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
}

// All others are computed while the first one is held; none overtakes it, and no more are read than
// may be unanswered.
TEST(TeiEmbedStreamTest, EarlyAnswersWaitForTheirTurn_AndHoldUpTheIntake) {
  HeldFirst held;
  TestServer server(held.model, {.replicas = 2, .threads = 1, .max_stream_inputs = 8});
  EmbedStream stream(server);
  ASSERT_TRUE(stream.Write(1));
  while (!held.taken) absl::SleepFor(absl::Milliseconds(1));
  constexpr int kTexts = 300;
  std::thread writer([&] {
    for (int i = 2; i <= kTexts; ++i) ASSERT_TRUE(stream.Write(i));
    stream.WritesDone();
  });
  EXPECT_EQ(Settled([&] { return held.model.texts_computed->load(); }), 8)
      << "the first, which is held, and seven early ones";
  auto read = std::async(std::launch::async, [&] { return stream.ReadAll(); });
  EXPECT_EQ(read.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  held.Release();
  std::vector<int> all(kTexts);
  for (int i = 0; i < kTexts; ++i) all[i] = i + 1;
  EXPECT_EQ(read.get(), all);
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
}

// The bad one is found at once, while the first text is still held.
TEST(TeiEmbedStreamTest, ABadItem_EndsTheStreamWithItsStatus_BehindTheAnswersBeforeIt) {
  HeldFirst held;
  TestServer server(held.model, {.replicas = 2, .threads = 1});
  EmbedStream stream(server);
  ASSERT_TRUE(stream.Write(1));
  while (!held.taken) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_TRUE(stream.Write(2));
  ASSERT_TRUE(stream.Write(3));
  tei::v1::EmbedRequest bad = EmbedText("the");
  bad.set_dimensions(0);
  ASSERT_TRUE(stream.Write(bad));
  stream.Write(4);
  stream.WritesDone();
  auto read = std::async(std::launch::async, [&] { return stream.ReadAll(); });
  EXPECT_EQ(read.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  held.Release();
  EXPECT_THAT(read.get(), ElementsAre(1, 2, 3));
  const grpc::Status status = stream.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "dimensions is 0; allowed: 1 to 4");
  EXPECT_EQ(TeiDetails(status).field, "dimensions");
  EXPECT_TRUE(server.server().Drain()) << "no permit leaked";
}

TEST(TeiEmbedStreamTest, AMessageThatIsTooLarge_EndsTheStreamBehindTheAnswersBeforeIt) {
  HeldFirst held;
  TestServer server(held.model, {.replicas = 2, .threads = 1, .max_request_bytes = 1000});
  EmbedStream stream(server);
  ASSERT_TRUE(stream.Write(1));
  while (!held.taken) absl::SleepFor(absl::Milliseconds(1));
  ASSERT_TRUE(stream.Write(2));
  stream.Write(1000);
  auto read = std::async(std::launch::async, [&] { return stream.ReadAll(); });
  EXPECT_EQ(read.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  held.Release();
  EXPECT_THAT(read.get(), ElementsAre(1, 2));
  const grpc::Status status = stream.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(TeiDetails(status).reason, "MAX_REQUEST_BYTES");
}

TEST(TeiEmbedStreamTest, AReaderThatDoesNotRead_StopsTheIntake) {
  FakeModel fake = ModelOfTexts();
  fake.width = 65'536;  // 256 KiB an answer
  TestServer server(fake, {.max_stream_inputs = 32});
  EmbedStream stream(server);
  std::thread writer([&] {
    for (int i = 1; i <= 1'000; ++i) {
      if (!stream.Write(i)) return;
    }
    stream.WritesDone();
  });
  const int64_t computed = Settled([&] { return fake.texts_computed->load(); });
  // 32 in work, 16 answers in the 4 MiB that may be unsent, and what gRPC's window takes.
  EXPECT_LT(computed, 200);
  EXPECT_GT(computed, 0);
  EXPECT_EQ(stream.ReadAll().size(), 1'000u);
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(TeiEmbedStreamTest, AFullServer_SlowsTheStreamAndRefusesNothing) {
  TestServer server(ModelOfTexts(), {.max_queue_tokens = 200});
  EmbedStream stream(server);
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(stream.Write(80));
    stream.WritesDone();
  });
  EXPECT_EQ(stream.ReadAll(), std::vector<int>(200, 80));
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(TeiEmbedStreamTest, ACallerThatGoesAway_LeavesNothing) {
  FakeModel fake = ModelOfTexts();
  TestServer server(fake, {.drain_limit = absl::Seconds(10)});
  EmbedStream stream(server);
  fake.gate->Close();
  for (int i = 1; i <= 20; ++i) ASSERT_TRUE(stream.Write(i));
  while (!fake.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  stream.Cancel();
  EXPECT_THAT(stream.ReadAll(), IsEmpty());
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(server.server().Drain()) << "the gate is still closed: what waited was dropped";
  EXPECT_EQ(*fake.texts_computed, 0);
}

TEST(TeiEmbedStreamTest, AnItemThatIsTooLate_EndsTheStream) {
  FakeModel fake = ModelOfTexts();
  TestServer server(fake, {.default_deadline = absl::Milliseconds(300)});
  EmbedStream stream(server);
  ASSERT_TRUE(stream.Write(1));
  tei::v1::EmbedResponse response;
  ASSERT_TRUE(stream.Read(&response));
  fake.gate->Close();
  ASSERT_TRUE(stream.Write(2));
  EXPECT_THAT(stream.ReadAll(), IsEmpty());
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(*fake.texts_computed, 1);
}

TEST(TeiEmbedStreamTest, ADrain_AnswersWhatWasReadAndEndsTheStream) {
  FakeModel fake = ModelOfTexts();
  TestServer server(fake);
  EmbedStream stream(server);
  fake.gate->Close();
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(stream.Write(i));
  while (!fake.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  absl::SleepFor(absl::Milliseconds(100));
  auto drained = std::async(std::launch::async, [&] { return server.server().Drain(); });
  absl::SleepFor(absl::Milliseconds(100));
  fake.gate->Open();
  EXPECT_THAT(stream.ReadAll(), ElementsAre(1, 2, 3));
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(drained.get());
}

// Each answer has 25 MiB of token vectors. Together they would pass the room for answers of one
// client, so the stream waits for its own.
TEST(TeiEmbedAllStreamTest, LargeAnswers_WaitForOneAnother) {
  FakeModel fake = ModelOfTexts();
  fake.width = 65'536;
  TestServer server(fake, {.max_answer_bytes = 64 << 20});
  const TeiStubs stubs(server.client());
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = stubs.embed->EmbedAllStream(&context);
  constexpr int kTexts = 12;
  std::thread writer([&] {
    tei::v1::EmbedAllRequest request;
    request.set_inputs(TextOf(98));
    for (int i = 0; i < kTexts; ++i) ASSERT_TRUE(stream->Write(request));
    stream->WritesDone();
  });
  int answers = 0;
  tei::v1::EmbedAllResponse response;
  while (stream->Read(&response)) {
    ++answers;
    ASSERT_EQ(response.token_embeddings_size(), 100);
    EXPECT_EQ(response.token_embeddings(99).embeddings(1), 99);
  }
  writer.join();
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answers, kTexts);
}

// Each answer has some 40 KiB; together they would pass the room for answers of one client.
TEST(TeiTokenizeStreamTest, LargeAnswers_WaitForOneAnother) {
  TestServer server(ModelOfTexts(), {.max_answer_bytes = 256 << 10});
  const TeiStubs stubs(server.client());
  grpc::ClientContext context;
  server.client().Prepare(&context, kLong);
  const auto stream = stubs.tokenize->TokenizeStream(&context);
  constexpr int kTexts = 100;
  std::thread writer([&] {
    tei::v1::EncodeRequest request;
    request.set_inputs(TextOf(2'500));
    for (int i = 0; i < kTexts; ++i) {
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  absl::SleepFor(absl::Milliseconds(300));  // a reader that comes late
  int answers = 0;
  tei::v1::EncodeResponse response;
  while (stream->Read(&response)) answers += response.tokens_size() == 2'500 ? 1 : 0;
  writer.join();
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(answers, kTexts);
}

TEST(TeiTokenizeStreamTest, TokenizeAndDecode_AnswerInOrder) {
  TestServer server(ModelOfTexts());
  const TeiStubs stubs(server.client());
  grpc::ClientContext context, decode_context;
  server.client().Prepare(&context, kLong);
  server.client().Prepare(&decode_context, kLong);
  const auto tokenize = stubs.tokenize->TokenizeStream(&context);
  const auto decode = stubs.tokenize->DecodeStream(&decode_context);
  std::vector<int> words;
  for (int i = 0; i < 200; ++i) words.push_back(i % 7 == 0 ? 20'000 : 1 + i);
  std::thread writer([&] {
    tei::v1::EncodeRequest request;
    for (const int count : words) {
      request.set_inputs(TextOf(count));
      ASSERT_TRUE(tokenize->Write(request));
    }
    tokenize->WritesDone();
  });
  tei::v1::EncodeResponse tokens;
  std::vector<int> tokenized, decoded;
  while (tokenize->Read(&tokens)) {
    tokenized.push_back(tokens.tokens_size());
    tei::v1::DecodeRequest request;
    for (const auto& token : tokens.tokens()) request.add_ids(token.id());
    ASSERT_TRUE(decode->Write(request));
    tei::v1::DecodeResponse text;
    ASSERT_TRUE(decode->Read(&text));
    decoded.push_back(static_cast<int>(text.text().size() + 1) / 4);
  }
  writer.join();
  EXPECT_TRUE(tokenize->Finish().ok());
  EXPECT_EQ(tokenized, words);
  EXPECT_EQ(decoded, words);
  ASSERT_TRUE(decode->Write(tei::v1::DecodeRequest()));
  tei::v1::DecodeResponse none;
  EXPECT_FALSE(decode->Read(&none));
  EXPECT_EQ(decode->Finish().error_message(), "ids is empty; allowed: 1 to 2097152 ids");
}

}  // namespace
}  // namespace longspan
