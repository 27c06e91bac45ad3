// ParsePythonJson reads what Python's json.loads reads (the expectations were made with it), and
// refuses what it refuses, half of a surrogate pair excepted, which no string here can hold.
#include "core/checkpoint/python_json.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string Error(const std::string& text) {
  const auto value = ParsePythonJson(text);
  return value.ok() ? "no error: " + PythonJsonText(*value) : std::string(value.status().message());
}

TEST(ParsePythonJson, ReadsWhatTheStandardDescribes) {
  const std::string text = R"( {"a": [1, -2, 0.5, 1e3, -0, 18446744073709551615],
      "b": {"c": null, "d": true, "e": false}, "f": "x\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀", "": []} )";
  const auto value = ParsePythonJson(text);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, json::parse(text));
  EXPECT_TRUE(value->at("a")[0].is_number_unsigned());
  EXPECT_TRUE(value->at("a")[1].is_number_integer());
  EXPECT_TRUE(value->at("a")[2].is_number_float());
  for (const char* one : {"0", "-7", "1.5e-3", "\"\"", "[]", "{}", "null", "\xEF\xBB\xBF[1]"})
    EXPECT_EQ(*ParsePythonJson(one), json::parse(one)) << one;
}

TEST(ParsePythonJson, ReadsNaNAndInfinitiesAsPythonWritesThem) {
  const auto value =
      ParsePythonJson(R"({"a": NaN, "b": [Infinity, -Infinity], "c": 1e400, "d": -1e999,
                                         "e": 1e-400, "f": "NaN"})");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_TRUE(std::isnan(value->at("a").get<double>()));
  EXPECT_EQ(value->at("b")[0].get<double>(), HUGE_VAL);
  EXPECT_EQ(value->at("b")[1].get<double>(), -HUGE_VAL);
  EXPECT_EQ(value->at("c").get<double>(), HUGE_VAL);
  EXPECT_EQ(value->at("d").get<double>(), -HUGE_VAL);
  EXPECT_EQ(value->at("e").get<double>(), 0.0);
  EXPECT_EQ(value->at("f"), "NaN");
  EXPECT_EQ(
      PythonJsonText(*value),
      R"({"a":"NaN","b":["Infinity","-Infinity"],"c":"Infinity","d":"-Infinity","e":0.0,"f":"NaN"})");
  EXPECT_EQ(PythonJsonText(value->at("a")), "NaN");
}

// transformers writes 10^30 where a tokenizer has no longest text.
TEST(ParsePythonJson, ReadsWholeNumbersOfAnySize) {
  const auto value = ParsePythonJson("[1000000000000000019884624838656, -9223372036854775809]");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ((*value)[0].get<double>(), 1e30);
  EXPECT_EQ((*value)[1].get<double>(), -9223372036854775808.0);
}

TEST(ParsePythonJson, OfAKeyThatStandsTwiceTheLastOneCounts) {
  EXPECT_EQ(*ParsePythonJson(R"({"a": 1, "b": 2, "a": 3})"), json::parse(R"({"a": 3, "b": 2})"));
}

TEST(ParsePythonJson, SaysWhatIsWrongAndWhere) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "at byte 1: no value"},
      {"[1, ]", "at byte 5: no value"},
      {"{\"a\": 1, }", "at byte 10: a key in double quotes"},
      {"{\"a\" 1}", "at byte 6: a colon"},
      {"{a: 1}", "at byte 2: a key in double quotes"},
      {"[1 2]", "at byte 4: a comma or a closing bracket"},
      {"[1", "a comma or a closing bracket"},
      {"{\"a\": 1", "a comma or a closing bracket"},
      {"1 2", "at byte 3: more text"},
      {"01", "at byte 2: more text"},
      {"1.", "at byte 2: more text"},
      {"1e", "at byte 2: more text"},
      {".5", "no value"},
      {"+1", "no value"},
      {"-", "no value"},
      {"-NaN", "no value"},
      {"nan", "no value"},
      {"inf", "no value"},
      {"Null", "no value"},
      {"'a'", "no value"},
      {"\"a", "the text ends in a string"},
      {"\"a\nb\"", "a control character"},
      {"\"\\x41\"", "an unknown escape"},
      {"\"\\u12g4\"", "an unknown escape"},
      {"\"\\ud800\"", "half of a surrogate pair"},
      {"\"\\udc00\\ud800\"", "half of a surrogate pair"},
      {"\"\\ud800\\u0041\"", "half of a surrogate pair"},
      {"\"\xff\"", "not UTF-8"},
      {"\"\xc0\xaf\"", "not UTF-8"},
      {"\"\xed\xa0\x80\"", "not UTF-8"},
      {"\"\xf5\x80\x80\x80\"", "not UTF-8"},
      {"\"\xe2\x82\"", "not UTF-8"},
      {std::string("[\0]", 3), "no value"},
  };
  for (const auto& [text, words] : cases) {
    EXPECT_THAT(Error(text), HasSubstr("not valid JSON at byte")) << text;
    EXPECT_THAT(Error(text), HasSubstr(words)) << text;
  }
}

TEST(ParsePythonJson, BoundsTheDepth) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(ParsePythonJson(nested(kMaxJsonDepth)).ok());
  EXPECT_THAT(Error(nested(kMaxJsonDepth + 1)), HasSubstr("nested deeper than 64 levels"));
  EXPECT_THAT(Error(std::string(1 << 20, '[')), HasSubstr("nested deeper than 64 levels"));
}

}  // namespace
}  // namespace longspan
