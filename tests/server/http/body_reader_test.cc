#include "server/http/body_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using State = BodyReader::State;

struct Outcome {
  State state;
  std::string body;
  size_t used = 0;
};

// `bytes` in pieces of `piece`.
Outcome Read(std::string_view bytes, size_t piece, int64_t max = 1000,
             Framing framing = Framing::kChunked, int64_t length = 0) {
  BodyReader reader(framing, length, max);
  Outcome outcome{reader.state(), ""};
  size_t came = 0;
  while (reader.state() == State::kMore && outcome.used < bytes.size()) {
    came = std::min(bytes.size(), came + piece);
    while (outcome.used < came && reader.state() == State::kMore) {
      std::string_view data;
      outcome.used += reader.Read(bytes.substr(outcome.used, came - outcome.used), &data);
      outcome.body.append(data);
    }
  }
  outcome.state = reader.state();
  EXPECT_EQ(reader.bytes(), static_cast<int64_t>(outcome.body.size()));
  return outcome;
}

TEST(BodyReaderTest, ChunksAreReadAlike_InPiecesOfAnySize) {
  const std::string bytes =
      "3\r\nabc\r\n00A;name=value;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: 1\r\nOther: 2\r\n\r\nnext";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Outcome outcome = Read(bytes, piece);
    EXPECT_EQ(outcome.state, State::kDone) << piece;
    EXPECT_EQ(outcome.body, "abc0123456789") << piece;
    EXPECT_EQ(bytes.substr(outcome.used), "next") << piece;
  }
}

TEST(BodyReaderTest, ALengthIsReadToItsEndAndNoFurther) {
  for (const size_t piece : {1, 2, 5, 100}) {
    const Outcome outcome = Read("hellonext", piece, 1000, Framing::kLength, 5);
    EXPECT_EQ(outcome.state, State::kDone);
    EXPECT_EQ(outcome.body, "hello");
    EXPECT_EQ(outcome.used, 5u);
  }
  EXPECT_EQ(BodyReader(Framing::kNone, 0, 10).state(), State::kDone);
}

TEST(BodyReaderTest, WhatIsNotInChunks_IsRefused) {
  for (const std::string bytes :
       {"x\r\n", "\r\n", "-1\r\n", "0x3\r\n", " 3\r\n", "3 \r\nabc\r\n", "3\nabc\r\n",
        "3\r\nabcd\r\n", "3\r\nabc\n", "3\r\nabc\r3", "3\rabc", "3;a\nb\r\n", "3;a\rb\r\n",
        "0\r\nTrailer: 1\nx\r\n", "0\r\nTrailer: 1\rx\r\n", "1000000000000000\r\n",
        "00000000000000000\r\n", ";a\r\n"}) {
    for (const size_t piece : {1, 100}) EXPECT_EQ(Read(bytes, piece).state, State::kBad) << bytes;
  }
  using namespace std::string_literals;
  EXPECT_EQ(Read("3;\0\r\n"s, 1).state, State::kBad);
}

TEST(BodyReaderTest, ChunksBeyondTheLimit_AreRefusedWithTheirSize) {
  EXPECT_EQ(Read("a\r\n0123456789\r\n0\r\n\r\n", 1, 10).state, State::kDone);
  EXPECT_EQ(Read("b\r\n", 1, 10).state, State::kTooLarge);
  EXPECT_EQ(Read("a\r\n0123456789\r\n1\r\n", 1, 10).state, State::kTooLarge);
  EXPECT_EQ(Read("fffffffffffffff\r\n", 1, 10).state, State::kTooLarge);
}

TEST(BodyReaderTest, ExtensionsAndTrailersAreBounded) {
  const std::string much(100'000, 'x');
  EXPECT_EQ(Read("1;" + much, 100).state, State::kBad);
  EXPECT_EQ(Read("0\r\n" + much, 100).state, State::kBad);
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += "1;0123456789\r\nx\r\n";
  EXPECT_EQ(Read(many, 100, 10'000).state, State::kBad) << "of all chunks together";
}

}  // namespace
}  // namespace longspan
