// Errors of the engine as a caller of tei.v1 reads them.
#include "server/tei/tei_errors.h"

#include <gtest/gtest.h>

#include <string>

#include "core/error_details.h"

namespace longspan {
namespace {

TEST(TeiErrorsTest, FieldsHaveTheNamesOfTheContract_InMessageAndDetail) {
  struct Row {
    const char* engine;
    const char* tei;
  };
  for (const Row& row : {Row{"inputs.text", "inputs"}, Row{"options.prompt_name", "prompt_name"},
                         Row{"options.dimensions", "dimensions"}, Row{"inputs", "inputs"},
                         Row{"ids[3]", "ids[3]"}}) {
    const absl::Status status = InTeiWords(InvalidField(row.engine, "is bad; allowed: good"));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), std::string(row.tei) + " is bad; allowed: good");
    EXPECT_EQ(FieldOf(status), row.tei);
  }
}

TEST(TeiErrorsTest, TheRemedyIsAFieldOfTheContract) {
  EXPECT_EQ(InTeiWords(InvalidField("inputs.text",
                                    "has 9 tokens; this model takes at most 4 (set truncation)"))
                .message(),
            "inputs has 9 tokens; this model takes at most 4 (set truncate)");
}

TEST(TeiErrorsTest, CodeReasonAndRetryTimeAreKept) {
  const absl::Status engine = WithRetryAfter(
      WithReason(AtField(absl::ResourceExhaustedError("is large"), "inputs.text"), kReasonMemory),
      absl::Milliseconds(1500));
  const absl::Status status = InTeiWords(engine);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "inputs is large");
  EXPECT_EQ(ReasonOf(status), kReasonMemory);
  EXPECT_EQ(RetryAfterOf(status), absl::Milliseconds(1500));
}

TEST(TeiErrorsTest, WithoutAField_NothingChanges) {
  const absl::Status engine = absl::UnavailableError("inputs.text (set truncation)");
  EXPECT_EQ(InTeiWords(engine), engine);
  EXPECT_TRUE(InTeiWords(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace longspan
