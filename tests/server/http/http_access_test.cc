// Who may ask: bearer keys, and web pages of other origins.
#include "tests/server/http/http_fixture.h"

namespace longspan {
namespace {

class HttpAccessTest : public HttpFixture {
 protected:
  HttpAccessTest() {
    server_.AddAsyncRoute("POST", "/secret", {.needs_key = true, .cors = true}, [](auto exchange) {
      exchange->Answer({.body = "for " + exchange->request().key_name});
    });
  }
  static absl::Status Check(std::string_view authorization, std::string* name) {
    if (authorization != "Bearer sesame") return absl::UnauthenticatedError("a \"wrong\" key");
    *name = "ali";
    return absl::OkStatus();
  }
};

TEST_F(HttpAccessTest, RoutesThatNeedAKey_AskForIt_BeforeTheBody) {
  Start({.check_key = &Check});
  HttpCaller caller(port());
  EXPECT_EQ(caller.Post("/secret", "x", "Authorization: Bearer sesame\r\n").body, "for ali");
  EXPECT_EQ(caller.Post("/echo", "open").body, "open");
  for (const char* key : {"", "Authorization: Bearer wrong\r\n", "Authorization: sesame\r\n"}) {
    HttpCaller stranger(port());
    const HttpAnswer answer = stranger.Ask(
        Request("POST /secret", absl::StrCat("Content-Length: 1\r\nAccept: */json\r\n", key)));
    EXPECT_EQ(answer.code, 401) << "without a byte of the body";
    EXPECT_EQ(answer.header("www-authenticate"), "Bearer");
    EXPECT_EQ(answer.body,
              "{\"error\":{\"message\":\"a \\\"wrong\\\" key\",\"type\":\"invalid_request_error\","
              "\"code\":\"invalid_api_key\"}}\n");
    EXPECT_TRUE(stranger.Ends());
  }
}

TEST_F(HttpAccessTest, WithoutKeysEverybodyIsLetIn) {
  Start();
  HttpCaller caller(port());
  EXPECT_EQ(caller.Post("/secret", "x").body, "for ");
}

constexpr char kPreflight[] =
    "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
    "Access-Control-Request-Headers: authorization, content-type\r\n";

TEST_F(HttpAccessTest, PagesOfListedOrigins_MayCallTheRoutesThatAllowIt) {
  Start({.cors_origins = {"https://other.example", "https://app.example"}, .check_key = &Check});
  HttpCaller caller(port());
  const HttpAnswer preflight = caller.Ask(Request("OPTIONS /secret", kPreflight));
  EXPECT_EQ(preflight.code, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(preflight.header("access-control-allow-methods"), "POST");
  EXPECT_EQ(preflight.header("access-control-allow-headers"), "authorization, content-type");
  EXPECT_EQ(preflight.header("vary"), "Origin");
  const HttpAnswer answer = caller.Post("/echo", "x", "Origin: https://app.example\r\n");
  EXPECT_EQ(answer.body, "x");
  EXPECT_EQ(answer.header("access-control-allow-origin"), "https://app.example");
  // A page must be able to read why it was refused.
  HttpCaller stranger(port());
  const HttpAnswer refused = stranger.Post("/secret", "x", "Origin: https://app.example\r\n");
  EXPECT_EQ(refused.code, 401);
  EXPECT_EQ(refused.header("access-control-allow-origin"), "https://app.example");
}

TEST_F(HttpAccessTest, OtherOriginsAndOtherRoutesGetNoWordOfIt) {
  // Of one path, one method may be called by pages and another not.
  server_.AddRoute("GET", "/echo", [](const HttpRequest&) { return HttpResponse{}; });
  Start({.cors_origins = {"https://app.example"}});
  HttpCaller caller(port());
  for (const char* origin : {"https://app.example.evil", "http://app.example", "null",
                             "https://app.example:444", "HTTPS://app.example"}) {
    const HttpAnswer answer = caller.Post("/echo", "x", absl::StrCat("Origin: ", origin, "\r\n"));
    EXPECT_EQ(answer.code, 200);
    EXPECT_EQ(answer.header("access-control-allow-origin"), "") << origin;
  }
  EXPECT_EQ(caller.Post("/echo", "x").header("access-control-allow-origin"), "");
  EXPECT_EQ(
      caller.Get("/page", "Origin: https://app.example\r\n").header("access-control-allow-origin"),
      "");
  EXPECT_EQ(
      caller.Get("/echo", "Origin: https://app.example\r\n").header("access-control-allow-origin"),
      "");
  EXPECT_EQ(caller.Ask(Request("OPTIONS /page", kPreflight)).code, 405);
}

TEST_F(HttpAccessTest, AStarAllowsAll_AndNothingAllowsNobody) {
  {
    Start({.cors_origins = {"*"}});
    HttpCaller caller(port());
    EXPECT_EQ(
        caller.Ask(Request("OPTIONS /echo", kPreflight)).header("access-control-allow-origin"),
        "*");
  }
  HttpServer off;
  off.AddAsyncRoute("POST", "/echo", {.cors = true}, [](auto) {});
  ASSERT_TRUE(off.Start("127.0.0.1:0").ok());
  HttpCaller caller(off.port());
  const HttpAnswer answer = caller.Ask(Request("OPTIONS /echo", kPreflight));
  EXPECT_EQ(answer.code, 405);
  EXPECT_EQ(answer.header("access-control-allow-origin"), "");
}

TEST_F(HttpAccessTest, AnAnswersHeaders_CannotHoldAnotherHeader) {
  server_.AddRoute("GET", "/headers", [](const HttpRequest& request) {
    return HttpResponse{.headers = {{"X-Good", "1"}, {"X-Bad", "1\r\nX-Evil: 1"}}};
  });
  Start();
  HttpCaller caller(port());
  const HttpAnswer answer = caller.Get("/headers");
  EXPECT_EQ(answer.header("x-good"), "1");
  EXPECT_FALSE(answer.headers.contains("x-evil"));
  EXPECT_FALSE(answer.headers.contains("x-bad"));
}

}  // namespace
}  // namespace longspan
