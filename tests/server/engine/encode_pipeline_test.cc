#include "server/engine/encode_pipeline.h"

#include <gmock/gmock.h>

#include "absl/time/clock.h"
#include "core/error_details.h"
#include "server/batching/token_vector_buffer.h"
#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

// One token a byte, no special tokens.
absl::StatusOr<Tokenization> TokenPerByte(std::string_view text, const StopCheck&) {
  if (text == "throw") throw std::runtime_error("tokenizer broke");
  Tokenization tokens;
  for (size_t i = 0; i < text.size(); ++i) {
    const TextRange range{static_cast<int64_t>(i), static_cast<int64_t>(i + 1)};
    tokens.ids.push_back(text[i]);
    tokens.bytes.push_back(range);
    tokens.characters.push_back(range);
    tokens.special.push_back(0);
  }
  return tokens;
}

class EncodePipelineTest : public ::testing::Test {
 protected:
  EncodePipelineTest() {
    model_.token_dimensions = 8;
    pipeline_.emplace(
        PreparationContext{.model = &model_, .tokenize = TokenPerByte, .max_tokens = 100},
        &admission_, &tokenizers_, &scheduler_);
  }
  void Submit(int64_t number, EncodeInput input, absl::Duration timeout = absl::InfiniteDuration(),
              std::shared_ptr<TokenVectorBuffer> token_vectors = nullptr) {
    input.field = "inputs[" + std::to_string(number) + "]";
    EncodeTask::Params params{.input = std::move(input),
                              .arrival = clock_.Now(),
                              .deadline = clock_.FromTimeout(timeout),
                              .cancel = cancel_,
                              .token_vectors = std::move(token_vectors),
                              .done = outcomes_.Record(number)};
    params.permit = *admission_.TryAcquire(ClaimFor(params.input, 100), absl::InfiniteFuture());
    pipeline_->Submit(std::make_shared<EncodeTask>(std::move(params), &clock_));
  }

  FakeClock clock_;
  Outcomes outcomes_;
  std::shared_ptr<CancelFlag> cancel_ = std::make_shared<CancelFlag>();
  ModelInfo model_;
  Admission admission_{
      {.max_queue_tokens = 300, .max_token_vector_bytes = 1000}, MillisecondPerToken, &clock_};
  BatchScheduler scheduler_{{}, LinearCost(), &clock_};
  TokenizerPool tokenizers_{1};
  std::optional<EncodePipeline> pipeline_;
};

TEST_F(EncodePipelineTest, Submit_QueuesATextWithItsExactTokens) {
  Submit(1, {.text = std::string(70, 'a')});
  const auto batch = scheduler_.NextBatch();
  EXPECT_EQ(batch->tokens, 70);
  EXPECT_EQ(admission_.backlog().tokens, 70);
  Answer(*batch, clock_);
  EXPECT_EQ(outcomes_.only(1).result->tokens_total, 70);
  EXPECT_EQ(admission_.backlog().tasks, 0);
}

TEST_F(EncodePipelineTest, Submit_TakesFewTokenIdsStraightToTheQueue) {
  Submit(1, {.token_ids = {5, 6, 7}});
  EXPECT_EQ(scheduler_.depth().tokens, 3);  // no other thread was needed
}

TEST_F(EncodePipelineTest, Submit_AnswersWhatTheTextIsRefusedFor_WithItsField) {
  Submit(1, {.text = std::string(101, 'a')});
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(outcomes_.only(1).result.status()), "inputs[1].text");
  EXPECT_EQ(outcomes_.only(1).timings.stage, Stage::kTokenize);
}

TEST_F(EncodePipelineTest, Submit_SkipsTheTokenizer_WhenNobodyWaits) {
  cancel_->Cancel();
  Submit(1, {.text = "throw"});
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kCancelled);
}

TEST_F(EncodePipelineTest, Submit_TurnsAThrowIntoInternal) {
  Submit(1, {.text = "throw"});
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kInternal);
}

TEST_F(EncodePipelineTest, Submit_RefusesADeadlineThatTheExactTokensMakeUnreachable) {
  Submit(1, {.text = std::string(90, 'a')}, absl::Milliseconds(20));
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(ReasonOf(outcomes_.only(1).result.status()), kReasonDeadlineUnreachable);
}

TEST_F(EncodePipelineTest, Submit_ReservesRoomForTokenVectors_OrRefuses) {
  const auto submit = [&](int64_t number, size_t tokens) {
    auto buffer = std::make_shared<TokenVectorBuffer>(10, nullptr);
    EncodeInput input{.text = std::string(tokens, 'a')};
    input.options.document_vector = false;
    input.options.token_sink = [buffer](int64_t first, int64_t count, const float* values) {
      buffer->Push(first, count, 8, values);
    };
    Submit(number, std::move(input), absl::InfiniteDuration(), buffer);
    return buffer;
  };
  const auto buffer = submit(1, 30);  // 30 tokens x 8 floats = 960 bytes
  while (admission_.backlog().token_vector_bytes == 0) absl::SleepFor(absl::Milliseconds(1));
  submit(2, 2);
  outcomes_.AwaitTotal(1);
  EXPECT_EQ(outcomes_.code(2), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(admission_.backlog().token_vector_bytes, 960);
  buffer->Close();
  EXPECT_EQ(admission_.backlog().token_vector_bytes, 0);
}

TEST_F(EncodePipelineTest, Submit_ReservesNoMoreThanThePooledVectorsTake) {
  auto buffer = std::make_shared<TokenVectorBuffer>(10, nullptr, TokenPooling{.factor = 4});
  EncodeInput input{.text = std::string(90, 'a')};
  input.truncation = Truncation::kHeadTail;
  input.max_tokens = 50;
  input.token_pooling = 4;
  input.options.document_vector = false;
  input.options.token_sink = [buffer](int64_t first, int64_t count, const float* values) {
    buffer->Push(first, count, 8, values);
  };
  Submit(1, std::move(input), absl::InfiniteDuration(), buffer);
  while (admission_.backlog().token_vector_bytes == 0) absl::SleepFor(absl::Milliseconds(1));
  // 25 tokens on each side of the gap: 7 groups each, of 8 floats.
  EXPECT_EQ(admission_.backlog().token_vector_bytes, 14 * 32);
  const std::vector<float> rows(50 * 8);
  buffer->Push(0, 50, 8, rows.data());
  buffer->End();
  EXPECT_EQ(buffer->num_rows(), 14);
  while (buffer->TryPop()) {
  }
  EXPECT_EQ(admission_.backlog().token_vector_bytes, 0);
}

TEST_F(EncodePipelineTest, Submit_AnswersWordsAlone_WithoutAPass) {
  EncodeInput input{.text = "one two one"};
  input.options.document_vector = false;
  input.lexical.emplace();
  input.lexical->query = true;
  EXPECT_EQ(ClaimFor(input, 100).max_tokens, 1) << "admission counts no pass";
  Submit(1, std::move(input));
  outcomes_.AwaitTotal(1);
  ASSERT_TRUE(outcomes_.only(1).result.ok()) << outcomes_.only(1).result.status();
  ASSERT_NE(outcomes_.only(1).result->lexical, nullptr);
  EXPECT_EQ(outcomes_.only(1).result->lexical->size(), 2);
  EXPECT_EQ(scheduler_.depth().tokens, 0);
}

TEST_F(EncodePipelineTest, Submit_AnswersAfterShutdown_AsUnavailable) {
  tokenizers_.Shutdown();
  Submit(1, {.text = "abc"});
  EXPECT_EQ(outcomes_.code(1), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace longspan
