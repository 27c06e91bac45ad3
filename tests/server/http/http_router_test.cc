// Paths with a segment in braces: what stands for it, which route a path has, and what is refused
// before a body is read.
#include "server/http/http_router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace longspan {
namespace {

using ::testing::ElementsAre;

class HttpRouterTest : public ::testing::Test {
 protected:
  HttpRouterTest() {
    Add("PUT", "/collections/{name}/documents");
    Add("POST", "/collections/{name}/search");
    Add("DELETE", "/collections/{name}");
    Add("GET", "/collections");
    Add("POST", "/search");
    router_.SetOrigins({"https://app.example"});
  }
  void Add(const std::string& method, const std::string& path) {
    router_.Add(method, {.path = path,
                         .handler = [](const HttpRequest&) { return HttpResponse{}; },
                         .options = {.cors = true}});
  }
  // `target` as the request line has it; its path is decoded.
  HttpRouter::Match Find(const std::string& method, const std::string& target,
                         std::map<std::string, std::string> headers = {}) const {
    RequestHead head{.method = method, .headers = std::move(headers)};
    EXPECT_TRUE(ReadTarget(target, &head)) << target;
    return router_.Find(head);
  }
  void ExpectRoute(const std::string& method, const std::string& target, const std::string& path,
                   const std::string& segment) const {
    const HttpRouter::Match match = Find(method, target);
    ASSERT_FALSE(match.refused) << method << " " << target << ": " << match.refusal.body;
    EXPECT_EQ(match.route->path, path) << target;
    EXPECT_EQ(match.segment, segment) << target;
  }
  void ExpectNone(const std::string& target) const {
    const HttpRouter::Match match = Find("POST", target);
    EXPECT_TRUE(match.refused) << target << " is " << match.segment;
    EXPECT_EQ(match.refusal.code, 404) << target;
  }

  HttpRouter router_;
};

TEST_F(HttpRouterTest, ASegmentStandsForTheBraces) {
  ExpectRoute("POST", "/collections/notes/search", "/collections/{name}/search", "notes");
  ExpectRoute("PUT", "/collections/a.b_c-1/documents", "/collections/{name}/documents", "a.b_c-1");
  ExpectRoute("DELETE", "/collections/notes", "/collections/{name}", "notes");
  ExpectRoute("POST", "/collections/notes/search?x=/y", "/collections/{name}/search", "notes");
  // The words of the routes are names like others.
  ExpectRoute("POST", "/collections/search/search", "/collections/{name}/search", "search");
  ExpectRoute("DELETE", "/collections/documents", "/collections/{name}", "documents");
}

TEST_F(HttpRouterTest, WithoutBraces_ThereIsNoSegment) {
  ExpectRoute("GET", "/collections", "/collections", "");
  ExpectRoute("HEAD", "/collections", "/collections", "");
  ExpectRoute("POST", "/search", "/search", "");
}

TEST_F(HttpRouterTest, APathAsAWhole_GoesBeforeOneWithBraces_InEitherOrder) {
  Add("POST", "/collections/all/search");
  ExpectRoute("POST", "/collections/all/search", "/collections/all/search", "");
  ExpectRoute("POST", "/collections/al/search", "/collections/{name}/search", "al");
  Add("POST", "/things/one");
  Add("POST", "/things/{name}");
  ExpectRoute("POST", "/things/one", "/things/one", "");
  ExpectRoute("POST", "/things/two", "/things/{name}", "two");
}

TEST_F(HttpRouterTest, ASegmentIsNeverEmpty_AndHasNoSlash) {
  for (const char* target :
       {"/collections/", "/collections//search", "/collections//documents",
        "/collections/a/b/search", "/collections/a/", "/collections/a//search",
        "/collections/a/search/", "/collections/a/more", "/collectionsa/search",
        "/Collections/a/search", "//collections/a/search"})
    ExpectNone(target);
}

// Else the path of the route itself would be a request without a segment.
TEST_F(HttpRouterTest, TheBracesThemselves_AreASegmentLikeOthers) {
  ExpectRoute("POST", "/collections/{name}/search", "/collections/{name}/search", "{name}");
  ExpectRoute("DELETE", "/collections/%7Bname%7D", "/collections/{name}", "{name}");
}

TEST_F(HttpRouterTest, ASegmentIsDecoded_Once) {
  ExpectRoute("POST", "/collections/n%6ftes/search", "/collections/{name}/search", "notes");
  ExpectRoute("POST", "/collections/%C3%A4/search", "/collections/{name}/search", "\xC3\xA4");
  ExpectRoute("POST", "/collections/%2e%2e/search", "/collections/{name}/search", "..");
  ExpectRoute("POST", "/collections/%252F/search", "/collections/{name}/search", "%2F");
  ExpectRoute("POST", "/collections/a%20b/search", "/collections/{name}/search", "a b");
}

TEST_F(HttpRouterTest, ASlashOrAControlCharacter_CannotBeWrittenWithPercent) {
  for (const char* target :
       {"/collections/a%2Fb/search", "/collections/a%00/search", "/collections/a%0d%0a/search",
        "/collections/a%2/search", "/collections/a%zz/search"}) {
    RequestHead head{.method = "POST"};
    EXPECT_FALSE(ReadTarget(target, &head)) << target;
  }
}

TEST_F(HttpRouterTest, AnotherMethod_IsToldThoseThatThereAre) {
  const HttpRouter::Match match = Find("GET", "/collections/notes/search");
  EXPECT_TRUE(match.refused);
  EXPECT_EQ(match.refusal.code, 405);
  EXPECT_EQ(match.refusal.headers.at("Allow"), "POST");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(Find("POST", "/collections").refusal.headers.at("Allow"), "GET, HEAD");
  Add("GET", "/collections/{name}");
  EXPECT_EQ(Find("POST", "/collections/notes").refusal.headers.at("Allow"), "DELETE, GET, HEAD");
  EXPECT_EQ(Find("OPTIONS", "/collections/notes").refusal.code, 405) << "no preflight";
}

TEST_F(HttpRouterTest, APageOfAnotherOrigin_IsAnsweredForTheRouteThatThePathHas) {
  std::map<std::string, std::string> headers = {
      {"origin", "https://app.example"},
      {"access-control-request-method", "PUT"},
      {"access-control-request-headers", "authorization"}};
  const HttpRouter::Match match = Find("OPTIONS", "/collections/notes/documents", headers);
  EXPECT_TRUE(match.refused);
  EXPECT_EQ(match.refusal.code, 204);
  EXPECT_EQ(match.refusal.headers.at("Access-Control-Allow-Methods"), "PUT");
  EXPECT_EQ(match.refusal.headers.at("Access-Control-Allow-Headers"), "authorization");
  EXPECT_EQ(match.refusal.headers.at("Access-Control-Allow-Origin"), "https://app.example");
  headers["origin"] = "https://other.example";
  EXPECT_EQ(Find("OPTIONS", "/collections/notes/documents", headers).refusal.code, 405);
  EXPECT_EQ(Find("OPTIONS", "/collections//documents", headers).refusal.code, 404);
}

TEST_F(HttpRouterTest, Paths_AreThoseOfTheRoutes_NotOfRequests) {
  EXPECT_THAT(router_.Paths(),
              ElementsAre("/collections", "/collections/{name}", "/collections/{name}/documents",
                          "/collections/{name}/search", "/search"));
}

TEST_F(HttpRouterTest, AKeyIsAskedFor_BehindABracedPathToo) {
  router_.Add("POST", {.path = "/secret/{name}",
                       .handler = [](const HttpRequest&) { return HttpResponse{}; },
                       .options = {.needs_key = true}});
  router_.SetCheckKey([](std::string_view authorization, std::string* name) {
    if (authorization != "Bearer sesame") return absl::UnauthenticatedError("no");
    *name = "ali";
    return absl::OkStatus();
  });
  EXPECT_EQ(Find("POST", "/secret/cave").refusal.code, 401);
  const HttpRouter::Match match =
      Find("POST", "/secret/cave", {{"authorization", "Bearer sesame"}});
  EXPECT_FALSE(match.refused);
  EXPECT_EQ(match.segment, "cave");
  EXPECT_EQ(match.key_name, "ali");
}

}  // namespace
}  // namespace longspan
