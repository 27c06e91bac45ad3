// What is a request and what is not, byte by byte. A request that two readers take for different
// ones is how callers smuggle: it must be refused.
#include "server/http/request_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

using Progress = RequestReader::Progress;

// The code that a whole head is refused with; 200 where it is good, 0 where it is not complete.
int CodeOf(std::string_view bytes, const HeadLimits& limits = {}) {
  RequestReader reader(limits);
  switch (reader.ReadHead(bytes)) {
    case Progress::kDone:
      return 200;
    case Progress::kBad:
      return reader.code();
    case Progress::kMore:
      return 0;
  }
  return -1;
}
// Of one with these headers behind the first line.
int CodeWith(std::string_view headers) {
  return CodeOf(absl::StrCat("POST /a HTTP/1.1\r\nHost: t\r\n",
                             absl::string_view(headers.data(), headers.size()), "\r\n"));
}
RequestHead Read(std::string_view bytes) {
  RequestReader reader({});
  EXPECT_EQ(reader.ReadHead(bytes), Progress::kDone) << bytes;
  return reader.head();
}

TEST(RequestHeadTest, AHeadIsReadAlike_InOnePieceAndByteByByte) {
  const std::string bytes =
      "POST /a%20b?x=%20&y HTTP/1.1\r\nHost: t\r\nX-One: 1\r\nx-one:\t 2 \r\n"
      "Content-Length: 3\r\nConnection: keep-alive, close\r\n\r\nabc";
  RequestReader reader({});
  size_t came = 1;
  while (reader.ReadHead(std::string_view(bytes).substr(0, came)) == Progress::kMore) ++came;
  EXPECT_EQ(reader.size(), bytes.size() - 3);
  EXPECT_EQ(came, reader.size()) << "not one byte later";
  for (const RequestHead& head : {reader.head(), Read(bytes)}) {
    EXPECT_EQ(head.method, "POST");
    EXPECT_EQ(head.path, "/a b");
    EXPECT_EQ(head.query, "x=%20&y");
    EXPECT_EQ(head.headers.at("x-one"), "1, 2");
    EXPECT_EQ(head.framing, Framing::kLength);
    EXPECT_EQ(head.content_length, 3);
    EXPECT_FALSE(head.keep_alive);
  }
}

TEST(RequestHeadTest, TheReaderIsReadyForTheNextRequest) {
  RequestReader reader({});
  EXPECT_EQ(reader.ReadHead("GET /a HTTP/1.0\r\nX: 1\r\n\r\n"), Progress::kDone);
  EXPECT_FALSE(reader.head().keep_alive);
  reader.Reset();
  // An empty line in front, as old browsers send it behind a body.
  EXPECT_EQ(reader.ReadHead("\r\nGET /b HTTP/1.1\r\nHost: t\r\n\r\n"), Progress::kDone);
  EXPECT_EQ(reader.head().path, "/b");
  EXPECT_FALSE(reader.head().headers.contains("x"));
  EXPECT_TRUE(reader.head().keep_alive);
}

TEST(RequestHeadTest, WhatTwoReadersTakeForDifferentRequests_IsRefused) {
  EXPECT_EQ(CodeWith("Content-Length: 5\r\n"), 200);
  EXPECT_EQ(CodeWith("Transfer-Encoding: chunked\r\n"), 200);
  EXPECT_EQ(CodeWith("Transfer-Encoding: CHUNKED\r\n"), 200);
  for (const char* headers : {
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n",
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5, 5\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: -1\r\n",
           "Content-Length: 0x5\r\n",
           "Content-Length: 5 5\r\n",
           "Content-Length:\r\n",
           "Content-Length: 99999999999999999999\r\n",
           "Content-Length : 5\r\n",
           "Transfer-Encoding: gzip\r\n",
           "Transfer-Encoding: gzip, chunked\r\n",
           "Transfer-Encoding: chunked, chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: xchunked\r\n",
           "Transfer-Encoding:\vchunked\r\n",
           "Transfer-Encoding\t: chunked\r\n",
           "X: 1\r\n Content-Length: 5\r\n",
           "X: 1\r\n\tfolded\r\n",
           " X: 1\r\n",
           "X: 1\nContent-Length: 5\r\n",
           "X: 1\r\rContent-Length: 5\r\n",
           "X: 1\rY: 2\r\n",
           "X\r\n",
           ": 1\r\n",
           "X Y: 1\r\n",
           "X: a\x01z\r\n",
           "X: a\x7fz\r\n",
           "Host: other\r\n",
           "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
       })
    EXPECT_EQ(CodeWith(headers), 400) << headers;
  using namespace std::string_literals;
  EXPECT_EQ(CodeWith("X: a\0z\r\n"s), 400);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\nHost: t\n\n"), 400);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(CodeOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(RequestHeadTest, TheCallerSaysWhetherTheConnectionStays) {
  const auto stays = [](std::string_view version, std::string_view value) {
    return Read(absl::StrCat("GET / HTTP/", absl::string_view(version.data(), version.size()),
                             "\r\nHost: t\r\nConnection: ",
                             absl::string_view(value.data(), value.size()), "\r\n\r\n"))
        .keep_alive;
  };
  for (const char* value : {"", "Keep-Alive", "keep-alive,", ", TE", "upgrade"})
    EXPECT_TRUE(stays("1.1", value)) << value;
  for (const char* value : {"close", "TE, Close", "keep-alive, close", "close, keep-alive"}) {
    EXPECT_FALSE(stays("1.1", value)) << value;
    EXPECT_FALSE(stays("1.0", value)) << value;
  }
  EXPECT_FALSE(stays("1.0", ""));
  EXPECT_TRUE(stays("1.0", "TE, keep-alive"));
}

TEST(RequestHeadTest, OnlyRequestLinesOfHttp1AreTaken) {
  EXPECT_EQ(CodeOf("GET / HTTP/1.0\r\n\r\n"), 200);
  for (const char* line :
       {"GET /", "GET / HTTP/1.1 ", "GET  / HTTP/1.1", " GET / HTTP/1.1", "GET / x HTTP/1.1",
        "G@T / HTTP/1.1", "GET a HTTP/1.1", "GET http:/a HTTP/1.1", "GET * HTTP/1.1",
        "CONNECT a:1 HTTP/1.1", "GET /a\tb HTTP/1.1", "GET /a#b HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1",
        "GET / http/1.1", "GET / HTTP/1.10"})
    EXPECT_EQ(CodeOf(absl::StrCat(line, "\r\nHost: t\r\n\r\n")), 400) << line;
  for (const char* line : {"PRI * HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9"})
    EXPECT_EQ(CodeOf(absl::StrCat(line, "\r\nHost: t\r\n\r\n")), 505) << line;
  // Refused with their first bytes, without a wait for an end that never comes.
  EXPECT_EQ(CodeOf("\x16\x03\x01\x02"), 400);
  EXPECT_EQ(CodeOf("GET / HT\n"), 400);
}

TEST(RequestHeadTest, Targets_AreDecodedOnce_AndTheirAuthorityIsLeftOff) {
  const auto path = [](std::string_view target) {
    return Read(absl::StrCat("OPTIONS ", absl::string_view(target.data(), target.size()),
                             " HTTP/1.1\r\nHost: t\r\n\r\n"))
        .path;
  };
  EXPECT_EQ(path("http://host:80/a/b"), "/a/b");
  EXPECT_EQ(path("HTTPS://host"), "/");
  EXPECT_EQ(path("http://host?q"), "/");
  EXPECT_EQ(path("*"), "*");
  EXPECT_EQ(path("/%2e%2E/%2541"), "/../%41");
  for (const char* target : {"/a%2fb", "/a%2Fb", "/%00", "/%0a", "/%7f", "/%", "/%2", "/%zz"})
    EXPECT_EQ(CodeOf(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: t\r\n\r\n")), 400) << target;
}

TEST(RequestHeadTest, EachLimitHasItsCode_AtItsByte) {
  const HeadLimits limits{.max_request_line = 100, .max_bytes = 200, .max_headers = 5};
  const auto line = [](size_t bytes) { return "GET /" + std::string(bytes - 14, 'a'); };
  EXPECT_EQ(CodeOf(line(99), limits), 0);
  EXPECT_EQ(CodeOf(line(200), limits), 414);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\nX: " + std::string(170, 'a'), limits), 0);
  EXPECT_EQ(CodeOf("GET / HTTP/1.1\r\nX: " + std::string(300, 'a'), limits), 431);
  std::string many = "GET / HTTP/1.1\r\nHost: t\r\n";
  for (int i = 0; i < 4; ++i) absl::StrAppend(&many, "a", i, ": b\r\n");
  EXPECT_EQ(CodeOf(many + "\r\n", limits), 200);
  EXPECT_EQ(CodeOf(many + "z: b\r\n", limits), 431);
}

}  // namespace
}  // namespace longspan
