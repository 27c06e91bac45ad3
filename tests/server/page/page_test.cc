// The page over real HTTP: its files, the headers that fence it in, and that it names no other
// host.
#include "server/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/page/embedded_files.h"
#include "tests/http_caller.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::string PathOf(const EmbeddedFile& file) {
  return file.name == "index.html" ? "/" : absl::StrCat("/page/", std::string(file.name));
}

class PageTest : public ::testing::Test {
 protected:
  ~PageTest() override { http_.Stop(); }

  void Start(bool need_keys = false) {
    AddPageRoutes(&http_, need_keys);
    HttpServerOptions options;
    options.check_key = [](std::string_view authorization, std::string*) {
      return authorization == "Bearer sesame" ? absl::OkStatus()
                                              : absl::UnauthenticatedError("no key");
    };
    const absl::Status started = http_.Start("127.0.0.1:0", std::move(options));
    ASSERT_TRUE(started.ok()) << started;
  }
  HttpAnswer Get(const std::string& path, const std::string& headers = "") const {
    return HttpCaller(http_.port()).Get(path, headers);
  }

  HttpServer http_;
};

TEST_F(PageTest, EachFileComesAsItIsWithItsType) {
  Start();
  std::set<std::string> types;
  for (const EmbeddedFile& file : PageFiles()) {
    const HttpAnswer answer = Get(PathOf(file));
    EXPECT_EQ(answer.code, 200) << file.name;
    EXPECT_EQ(answer.body, file.bytes) << file.name;
    EXPECT_THAT(file.bytes, Not(IsEmpty())) << file.name;
    types.insert(answer.header("content-type"));
  }
  EXPECT_EQ(types, (std::set<std::string>{
                       "image/svg+xml", "text/css; charset=utf-8", "text/html; charset=utf-8",
                       "text/javascript; charset=utf-8", "text/plain; charset=utf-8"}));
}

TEST_F(PageTest, BrowsersRunNothingButItsOwnFiles) {
  Start();
  for (const EmbeddedFile& file : PageFiles()) {
    const HttpAnswer answer = Get(PathOf(file));
    EXPECT_THAT(answer.header("content-security-policy"),
                AllOf(StartsWith("default-src 'none'; script-src 'self';"),
                      HasSubstr("frame-ancestors 'none'"), Not(HasSubstr("unsafe"))));
    EXPECT_EQ(answer.header("x-content-type-options"), "nosniff");
    EXPECT_EQ(answer.header("referrer-policy"), "no-referrer");
  }
}

TEST_F(PageTest, AFileThatTheBrowserHasIsNotSentAgain) {
  Start();
  std::set<std::string> tags;
  for (const EmbeddedFile& file : PageFiles()) {
    const std::string tag = Get(PathOf(file)).header("etag");
    tags.insert(tag);
    const HttpAnswer again = Get(PathOf(file), absl::StrCat("If-None-Match: W/", tag, "\r\n"));
    EXPECT_EQ(again.code, 304) << file.name;
    EXPECT_EQ(again.header("etag"), tag);
    EXPECT_EQ(Get(PathOf(file), "If-None-Match: \"of another version\"\r\n").code, 200);
  }
  EXPECT_EQ(tags.size(), PageFiles().size());
}

TEST_F(PageTest, ItsFilesNameEachOtherAndNoOtherHost) {
  std::set<std::string> names;
  for (const EmbeddedFile& file : PageFiles()) names.insert(std::string(file.name));
  const std::regex reference(R"re(["'](?:page|\.)/([a-z_]+\.(?:js|css|svg|txt))["'])re");
  const std::regex host(R"re((?:https?:)?//[a-z0-9-]+\.[a-z])re");
  std::set<std::string> named = {"index.html"};
  for (const EmbeddedFile& file : PageFiles()) {
    std::string text(file.bytes);
    for (std::sregex_iterator found(text.begin(), text.end(), reference), end; found != end;
         ++found)
      named.insert((*found)[1]);
    const std::string svg = "http://www.w3.org/2000/svg";  // a name; nothing is fetched
    if (const size_t at = text.find(svg); at != std::string::npos) text.erase(at, svg.size());
    EXPECT_FALSE(std::regex_search(text, host)) << file.name;
  }
  EXPECT_EQ(named, names);
}

TEST_F(PageTest, WithPageKeysItNeedsOne) {
  Start(/*need_keys=*/true);
  EXPECT_EQ(Get("/").code, 401);
  EXPECT_EQ(Get("/page/page.js").code, 401);
  EXPECT_EQ(Get("/", "Authorization: Bearer sesame\r\n").code, 200);
}

}  // namespace
}  // namespace longspan
