// Bodies, with a length and in chunks, as RequestReader takes them out of the bytes that come.
#include "server/http/request_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using State = RequestReader::Body;

struct Outcome {
  State state;
  std::string body;
  size_t used = 0;
};

// Whose head has been read.
void Begin(RequestReader* reader, std::string_view framing, int64_t max) {
  const std::string head =
      absl::StrCat("POST / HTTP/1.1\r\nHost: t\r\n",
                   absl::string_view(framing.data(), framing.size()), "\r\n\r\n");
  ASSERT_EQ(reader->ReadHead(head), RequestReader::Progress::kDone);
  reader->BeginBody(max);
}

// `bytes` in pieces of `piece`.
Outcome Read(std::string_view bytes, size_t piece, int64_t max = 1000,
             std::string_view framing = "Transfer-Encoding: chunked") {
  RequestReader reader({});
  Begin(&reader, framing, max);
  Outcome outcome{reader.body(), ""};
  size_t came = 0;
  while (reader.body() == State::kMore && came < bytes.size()) {
    came = std::min(bytes.size(), came + piece);
    size_t step = 1;
    while (step > 0 && reader.body() == State::kMore) {
      std::string_view data;
      step = reader.ReadBody(bytes.substr(outcome.used, came - outcome.used), &data);
      outcome.used += step;
      outcome.body.append(data);
    }
  }
  outcome.state = reader.body();
  EXPECT_EQ(reader.body_bytes(), static_cast<int64_t>(outcome.body.size()));
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
    const Outcome outcome = Read("hellonext", piece, 1000, "Content-Length: 5");
    EXPECT_EQ(outcome.state, State::kDone);
    EXPECT_EQ(outcome.body, "hello");
    EXPECT_EQ(outcome.used, 5u);
  }
  EXPECT_EQ(Read("next", 1, 10, "X: 1").state, State::kDone);
  EXPECT_EQ(Read("next", 1, 10, "Content-Length: 0").used, 0u);
}

TEST(BodyReaderTest, WhatIsNotInChunks_IsRefused) {
  for (const std::string bytes : {"x\r\n",
                                  "\r\n",
                                  "-1\r\n",
                                  "0x3\r\n",
                                  " 3\r\n",
                                  "3 \r\nabc\r\n",
                                  "3\nabc\r\n",
                                  "3\r\nabcd\r\n",
                                  "3\r\nabc\n",
                                  "3\r\nabc\r3",
                                  "3\rabc",
                                  "3;a\nb\r\n",
                                  "3;a\rb\r\n",
                                  "0\r\nTrailer: 1\nx\r\n",
                                  "0\r\nTrailer: 1\rx\r\n",
                                  "1000000000000000\r\n",
                                  "00000000000000000\r\n",
                                  ";a\r\n",
                                  "3;a=\"\n\"\r\nabc\r\n",
                                  "3;a=\"\r\nabc\r\n\"\r\n",
                                  "3;\r\nabc\r\n",
                                  "3;a=\r\nabc\r\n"}) {
    for (const size_t piece : {1, 100}) EXPECT_EQ(Read(bytes, piece).state, State::kBad) << bytes;
  }
  using namespace std::string_literals;
  EXPECT_EQ(Read("3;\0\r\n"s, 1).state, State::kBad);
}

// Beast would take them for headers of the request, and refuse some.
TEST(BodyReaderTest, TrailersAreNoHeaders) {
  RequestReader reader({});
  Begin(&reader, "Transfer-Encoding: chunked", 10);
  const std::string body = "0\r\nContent-Length: 9\r\nAuthorization: Bearer a\r\n folded\r\n\r\n";
  std::string_view data;
  EXPECT_EQ(reader.ReadBody(body, &data), body.size());
  EXPECT_EQ(reader.body(), State::kDone);
  EXPECT_EQ(reader.head().headers.size(), 2u);
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
