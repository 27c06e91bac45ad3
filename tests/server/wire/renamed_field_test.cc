#include "server/wire/renamed_field.h"

#include <gtest/gtest.h>

#include "core/error_details.h"

namespace longspan {
namespace {

std::string Upper(std::string_view field) { return field == "a.b" ? "AB" : ""; }

TEST(RenamedFieldTest, RenamesTheFieldInTextAndDetails) {
  const absl::Status status =
      WithReason(InvalidField("a.b", "has 9; allowed: 3 (set truncation)"), kReasonMaxTokens);
  const absl::Status renamed = RenamedField(status, Upper, "(set truncate)");
  EXPECT_EQ(renamed.message(), "AB has 9; allowed: 3 (set truncate)");
  EXPECT_EQ(FieldOf(renamed), "AB");
  EXPECT_EQ(ReasonOf(renamed), kReasonMaxTokens);
  EXPECT_EQ(renamed.code(), status.code());
}

TEST(RenamedFieldTest, LeavesWhatHasNoOtherName) {
  const absl::Status other = InvalidField("c", "is 1");
  EXPECT_EQ(RenamedField(other, Upper, "").message(), "c is 1");
  const absl::Status none = absl::InternalError("a.b failed");
  EXPECT_EQ(RenamedField(none, Upper, "").message(), "a.b failed");
  const absl::Status elsewhere = InvalidField("a.b", "x");
  EXPECT_EQ(RenamedField(elsewhere, Upper, "").message(), "AB x");
}

}  // namespace
}  // namespace longspan
