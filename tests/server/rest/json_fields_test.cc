#include "server/rest/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error_details.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<JsonField>& Table() {
  static const std::vector<JsonField> table = {
      {.name = "input", .type = JsonType::kInputs, .required = true},
      {.name = "flag", .type = JsonType::kBool},
      {.name = "count", .type = JsonType::kCount},
      {.name = "name", .type = JsonType::kString},
      {.name = "choice", .type = JsonType::kChoice, .choices = {"a", "b"}},
      {.name = "any", .type = JsonType::kAnything}};
  return table;
}

absl::StatusOr<JsonFields> Read(std::string_view json, bool strict = false) {
  auto value = ReadJson(json);
  if (!value.ok()) return value.status();
  IgnoredFields ignored(strict);
  return ReadFields(*std::move(value), Table(), &ignored);
}

TEST(JsonFieldsTest, ReadsEachTypeAndItsDefault) {
  auto fields = Read(R"({"input":"x","flag":true,"count":4294967295,"name":"n","choice":"b",
                         "any":[{"x":1}],"unknown":3})");
  ASSERT_TRUE(fields.ok()) << fields.status();
  EXPECT_TRUE(fields->Bool("flag", false));
  EXPECT_EQ(fields->Count("count", 0), 4294967295U);
  EXPECT_EQ(fields->String("name"), "n");
  EXPECT_EQ(fields->String("choice"), "b");
  EXPECT_FALSE(fields->Has("unknown"));

  auto few = Read(R"({"input":"x","flag":null,"count":null})");
  ASSERT_TRUE(few.ok());
  EXPECT_TRUE(few->Bool("flag", true));
  EXPECT_EQ(few->Count("count", 7), 7);
  EXPECT_EQ(few->String("name", "other"), "other");
}

TEST(JsonFieldsTest, RefusesWhatIsNoneOfThese) {
  struct {
    const char* json;
    const char* field;
    const char* message;
  } const cases[] = {{R"("x")", "", "the body is a string; allowed: an object"},
                     {R"({})", "input", "input is missing; allowed: a string, a list"},
                     {R"({"input":null})", "input", "is missing"},
                     {R"({"input":1})", "input", "is the number 1"},
                     {R"({"input":"x","flag":1})", "flag", "allowed: true or false"},
                     {R"({"input":"x","count":-1})", "count", "is the number -1"},
                     {R"({"input":"x","count":4294967296})", "count", "allowed: a whole number"},
                     {R"({"input":"x","count":"1"})", "count", "is '1'"},
                     {R"({"input":"x","name":[]})", "name", "is an array; allowed: a string"},
                     {R"({"input":"x","choice":"c"})", "choice", "is 'c'; allowed: 'a', 'b'"}};
  for (const auto& bad : cases) {
    const auto fields = Read(bad.json);
    ASSERT_FALSE(fields.ok()) << bad.json;
    EXPECT_EQ(FieldOf(fields.status()).value_or(""), bad.field) << bad.json;
    EXPECT_THAT(std::string(fields.status().message()), HasSubstr(bad.message)) << bad.json;
  }
  EXPECT_THAT(std::string(Read(R"({"input":"x","new":1})", true).status().message()),
              HasSubstr("'new' is not known; allowed: 'input', 'flag'"));
}

JsonInputs Take(std::string_view json, int64_t most = 3) {
  auto value = ReadJson(json);
  EXPECT_TRUE(value.ok());
  auto inputs = TakeInputs(&*value, "input", most);
  EXPECT_TRUE(inputs.ok()) << inputs.status();
  return inputs.ok() ? *std::move(inputs) : JsonInputs();
}

TEST(JsonFieldsTest, TakesInputsInEachOfTheirForms) {
  EXPECT_EQ(Take(R"("x")").inputs[0].text, "x");
  EXPECT_FALSE(Take(R"("x")").is_list);
  EXPECT_THAT(Take("[5,6]").inputs[0].ids, ElementsAre(5, 6));
  EXPECT_FALSE(Take("[5,6]").is_list);
  EXPECT_EQ(Take(R"(["x","y"])").inputs[1].text, "y");
  EXPECT_TRUE(Take(R"(["x"])").is_list);
  EXPECT_THAT(Take("[[5],[6,7]]").inputs[1].ids, ElementsAre(6, 7));
  EXPECT_TRUE(Take("[[]]").inputs[0].ids.empty());  // refused later, as an input without content
}

TEST(JsonFieldsTest, RefusesListsThatMix) {
  struct {
    const char* json;
    const char* field;
  } const cases[] = {{"[]", "input"},
                     {R"(["x",1])", "input[1]"},
                     {R"([1,"x"])", "input[0]"},
                     {R"([[1],"x"])", "input[1]"},
                     {R"(["x",[1]])", "input[1]"},
                     {R"([[1],["x"]])", "input[1]"},
                     {"[null]", "input[0]"},
                     {R"(["a","b","c","d"])", "input"},
                     {"[[[1]]]", "input[0]"},
                     {"[1.5]", "input[0]"}};
  for (const auto& bad : cases) {
    auto value = ReadJson(bad.json);
    ASSERT_TRUE(value.ok());
    const auto inputs = TakeInputs(&*value, "input", 3);
    ASSERT_FALSE(inputs.ok()) << bad.json;
    EXPECT_EQ(FieldOf(inputs.status()).value_or(""), bad.field) << bad.json;
  }
}

}  // namespace
}  // namespace longspan
