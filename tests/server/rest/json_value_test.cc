#include "server/rest/json_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = JsonValue::Kind;

std::string Repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out.append(text);
  return out;
}

std::string WhyNot(std::string_view body) {
  const auto value = ReadJson(body);
  EXPECT_FALSE(value.ok()) << body.substr(0, 80);
  EXPECT_LT(value.status().message().size(), 300);
  return std::string(value.status().message());
}

TEST(JsonValueTest, ReadsEveryKindInItsOrder) {
  auto value = ReadJson(R"( {"s":"a\u00e9\n","t":true,"n":null,"u":7,"i":-7,"f":1.5,
                             "a":["x",null],"e":[],"o":{"b":false}} )");
  ASSERT_TRUE(value.ok()) << value.status();
  const auto& members = value->members();
  ASSERT_EQ(members.size(), 9);
  EXPECT_EQ(members[0].first, "s");
  EXPECT_EQ(members[0].second.string(), "a\xc3\xa9\n");
  EXPECT_TRUE(members[1].second.boolean());
  EXPECT_TRUE(members[2].second.is_null());
  EXPECT_EQ(members[3].second.kind(), Kind::kUnsigned);
  EXPECT_EQ(members[3].second.unsigned_number(), 7);
  EXPECT_EQ(members[4].second.kind(), Kind::kInteger);
  EXPECT_EQ(members[4].second.number(), -7);
  EXPECT_EQ(members[5].second.number(), 1.5);
  EXPECT_EQ(members[6].second.elements()[0].string(), "x");
  EXPECT_EQ(members[7].second.kind(), Kind::kArray);
  EXPECT_EQ(members[7].second.size(), 0);
  EXPECT_FALSE(members[8].second.members()[0].second.boolean());
}

TEST(JsonValueTest, HoldsTokenIdsAsNumbersOfFourBytes) {
  auto value = ReadJson("[0,1,4294967295]");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value->kind(), Kind::kIds);
  EXPECT_THAT(value->ids(), ElementsAre(0, 1, 4294967295U));
  // As many as a body of 16 MiB can hold are no more values than one.
  ASSERT_TRUE(ReadJson(absl::StrCat("[", Repeat("1,", 1 << 20), "1]")).ok());
}

TEST(JsonValueTest, AnArrayWithSomethingElseHoldsValues) {
  for (const char* body : {R"([1,2,"x"])", "[1,2,-1]", "[1,2,4294967296]", "[1,2,1.5]",
                           "[1,2,null]", "[1,2,[3]]", "[1,2,{}]"}) {
    auto value = ReadJson(body);
    ASSERT_TRUE(value.ok()) << body;
    ASSERT_EQ(value->kind(), Kind::kArray) << body;
    ASSERT_EQ(value->size(), 3) << body;
    EXPECT_EQ(value->elements()[1].unsigned_number(), 2) << body;
  }
}

TEST(JsonValueTest, RefusesWhatIsNotJson) {
  EXPECT_THAT(WhyNot(""), HasSubstr("not JSON"));
  EXPECT_THAT(WhyNot("{\"a\":"), HasSubstr("unexpected end"));
  EXPECT_THAT(WhyNot("{} x"), HasSubstr("at byte 4"));
  EXPECT_THAT(WhyNot("{'a':1}"), HasSubstr("not JSON"));
  EXPECT_THAT(WhyNot("[1,]"), HasSubstr("not JSON"));
  EXPECT_THAT(WhyNot("NaN"), HasSubstr("not JSON"));
  EXPECT_THAT(WhyNot("[1e999]"), AllOf(HasSubstr("overflow"), HasSubstr("1e999")));
  EXPECT_THAT(WhyNot(R"(["\ud800"])"), HasSubstr("surrogate"));
  EXPECT_THAT(WhyNot(R"(["\udc00"])"), HasSubstr("surrogate"));
  EXPECT_THAT(WhyNot("[\"a\nb\"]"), HasSubstr("control character"));
  EXPECT_THAT(WhyNot(std::string_view("[\"\0\"]", 5)), HasSubstr("control character"));
  EXPECT_THAT(WhyNot("[\"\xff\"]"), HasSubstr("UTF-8"));
  EXPECT_THAT(WhyNot("[\"\xed\xa0\x80\"]"), HasSubstr("UTF-8"));  // a surrogate, as bytes
}

// What is repeated of the body in the message is bounded and is text.
TEST(JsonValueTest, AMessageDoesNotGrowWithTheBody) {
  WhyNot(absl::StrCat("[\"", std::string(1 << 20, 'x'), "\xff"));
  WhyNot(absl::StrCat("[", std::string(1 << 20, '1')));
  WhyNot(absl::StrCat("{\"", std::string(1 << 20, 'x'), "\":1,\"", std::string(1 << 20, 'x'),
                      "\":1}"));
}

TEST(JsonValueTest, RefusesANameThatComesTwice) {
  EXPECT_THAT(WhyNot(R"({"a":1,"b":{"a":1},"a":2})"), AllOf(HasSubstr("'a'"), HasSubstr("twice")));
  EXPECT_TRUE(ReadJson(R"([{"a":1},{"a":1}])").ok());
  EXPECT_FALSE(ReadJson(R"({"a":1,"\u0061":2})").ok());
}

TEST(JsonValueTest, RefusesDeepNesting) {
  const auto nested = [](int levels) { return Repeat("[", levels) + Repeat("]", levels); };
  EXPECT_TRUE(ReadJson(nested(kMaxJsonDepth)).ok());
  EXPECT_THAT(WhyNot(nested(kMaxJsonDepth + 1)), HasSubstr("at most 32"));
  EXPECT_THAT(WhyNot(Repeat("[", 100'000)), HasSubstr("at most 32"));
  EXPECT_THAT(WhyNot(Repeat("{\"a\":", 100'000)), HasSubstr("at most 32"));
}

TEST(JsonValueTest, RefusesMoreValuesThanAnyRequestNeeds) {
  const auto many = static_cast<int>(kMaxJsonValues);
  for (const char* element : {"[]", "{}", "\"\"", "null", "-1", "[1]"}) {
    const std::string next = absl::StrCat(element, ",");
    EXPECT_THAT(WhyNot(absl::StrCat("[", Repeat(next, many), element, "]")),
                HasSubstr("too many values"))
        << element;
    EXPECT_TRUE(ReadJson(absl::StrCat("[", Repeat(next, many - 2), element, "]")).ok()) << element;
  }
  // Ids that turn out to be values count, too.
  EXPECT_THAT(WhyNot(absl::StrCat("[", Repeat("1,", many), "\"x\"]")),
              HasSubstr("too many values"));
}

}  // namespace
}  // namespace longspan
