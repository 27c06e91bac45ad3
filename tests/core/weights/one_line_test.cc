#include "core/weights/one_line.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

TEST(OneLineTest, ControlCharactersBecomeQuestionMarks) {
  EXPECT_EQ(OneLine("a\nb\tc\x7F"), "a?b?c?");
}

TEST(OneLineTest, ALongTextKeepsItsPlaceAndItsCause) {
  const std::string line = OneLine("/start" + std::string(4000, 'x') + ": no such folder");
  EXPECT_LE(line.size(), 1000u);
  EXPECT_TRUE(line.starts_with("/startx"));
  EXPECT_TRUE(line.ends_with("x: no such folder"));
}

TEST(OneLineTest, CharactersAreNotCut) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "€";  // three bytes
  for (int shift = 0; shift < 3; ++shift) {
    const std::string line = OneLine(std::string(shift, 'a') + text);
    EXPECT_LE(line.size(), 1000u);
    EXPECT_EQ((line.size() - shift) % 3, 0u) << "whole characters and three dots";
  }
}

}  // namespace
}  // namespace longspan
