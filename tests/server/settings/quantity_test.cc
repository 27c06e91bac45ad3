#include "server/settings/quantity.h"

#include <gmock/gmock.h>

#include <limits>
#include <map>
#include <random>
#include <string>

namespace longspan {
namespace {

using ::testing::HasSubstr;

TEST(QuantityTest, SuffixesAreThoseOfKubernetes_WithBWhereBytesAreCounted) {
  const std::map<std::string, int64_t> forms = {{"0", 0},
                                                {"8388608", 8388608},
                                                {"512k", 512'000},
                                                {"8M", 8'000'000},
                                                {"2G", 2'000'000'000},
                                                {"1T", 1'000'000'000'000},
                                                {"512Ki", 512 << 10},
                                                {"8Mi", 8 << 20},
                                                {"4Gi", int64_t{4} << 30},
                                                {"1Ti", int64_t{1} << 40},
                                                {"1.5Gi", int64_t{3} << 29},
                                                {"0.5k", 500},
                                                {"1.50Ki", 1536},
                                                {"007", 7}};
  for (const auto& [text, value] : forms) {
    for (const Counted counted : {Counted::kBytes, Counted::kThings}) {
      const auto parsed = ParseQuantity(text, counted);
      ASSERT_TRUE(parsed.ok()) << text << " " << parsed.status();
      EXPECT_EQ(*parsed, value) << text;
    }
  }
  for (const auto& [text, value] : std::map<std::string, int64_t>{{"5B", 5},
                                                                  {"1kB", 1000},
                                                                  {"1KB", 1000},
                                                                  {"8MiB", 8 << 20},
                                                                  {"8MB", 8'000'000},
                                                                  {"1KiB", 1024},
                                                                  {"1TB", 1'000'000'000'000},
                                                                  {"2GiB", int64_t{2} << 30}}) {
    ASSERT_TRUE(ParseQuantity(text, Counted::kBytes).ok()) << text;
    EXPECT_EQ(*ParseQuantity(text, Counted::kBytes), value) << text;
    EXPECT_FALSE(ParseQuantity(text, Counted::kThings).ok()) << text << " tokens";
  }
}

TEST(QuantityTest, WhatIsNoQuantityIsRefused_AndToldWhy) {
  const std::map<std::string, std::string> wrong = {{"", "no number"},
                                                    {" 8Mi", "no number"},
                                                    {"-8Mi", "no number"},
                                                    {"+8Mi", "no number"},
                                                    {"Mi", "no number"},
                                                    {".5Gi", "no number"},
                                                    {"0x10", "unknown suffix 'x10'"},
                                                    {"8 Mi", "unknown suffix ' Mi'"},
                                                    {"8Mi ", "unknown suffix 'Mi '"},
                                                    {"8m", "unknown suffix 'm'"},
                                                    {"8mib", "unknown suffix 'mib'"},
                                                    {"8K", "unknown suffix 'K'"},
                                                    {"8MiBB", "unknown suffix 'MiBB'"},
                                                    {"1e3", "unknown suffix 'e3'"},
                                                    {"1.", "no digit behind the point"},
                                                    {"1.Gi", "no digit behind the point"},
                                                    {"1.5", "a fraction of a byte"},
                                                    {"0.3Ki", "a fraction of a byte"},
                                                    {"1.0000000000000000001Ti", "too many digits"},
                                                    {"9223372036854775808", "more than"},
                                                    {"8388608Ti", "more than"},
                                                    {"99999999999999999999999", "more than"}};
  for (const auto& [text, why] : wrong) {
    const auto parsed = ParseQuantity(text, Counted::kBytes);
    ASSERT_FALSE(parsed.ok()) << text << " is " << *parsed;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(why)) << text;
  }
}

TEST(QuantityTest, TheShortestExactForm_IsWritten) {
  EXPECT_EQ(FormatQuantity(0, Counted::kBytes), "0");
  EXPECT_EQ(FormatQuantity(8 << 20, Counted::kBytes), "8MiB");
  EXPECT_EQ(FormatQuantity(int64_t{3} << 29, Counted::kBytes), "1536MiB");
  EXPECT_EQ(FormatQuantity(1000, Counted::kBytes), "1000");
  EXPECT_EQ(FormatQuantity(2147483647, Counted::kBytes), "2147483647");
  EXPECT_EQ(FormatQuantity(4 << 20, Counted::kThings), "4Mi");
  EXPECT_EQ(FormatQuantity(16384, Counted::kThings), "16384");
}

TEST(QuantityTest, WhatIsWritten_IsReadBack) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const int64_t value = static_cast<int64_t>(random() >> (1 + random() % 62)) &
                          ~((int64_t{1} << (random() % 40)) - 1);
    for (const Counted counted : {Counted::kBytes, Counted::kThings}) {
      const auto read = ParseQuantity(FormatQuantity(value, counted), counted);
      ASSERT_TRUE(read.ok()) << value;
      EXPECT_EQ(*read, value);
    }
  }
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(*ParseQuantity(FormatQuantity(most, Counted::kBytes), Counted::kBytes), most);
}

}  // namespace
}  // namespace longspan
