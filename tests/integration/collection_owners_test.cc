// Whose collections a call sees, by either door: those of its key's name. Each call about kept
// documents is made with every kind of key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/rest_calls.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kKeys[] = "anna k-anna\nbert k-bert\nk-nameless\nk-another\nanna k-second\n";

struct Answer {
  std::string code;  // "OK", "NOT_FOUND", ...
  std::string text;  // the whole answer
};

// One call about the collection "notes", by one of the doors.
struct Call {
  std::string name;
  std::function<Answer(TestServer& server, const std::string& key)> make;
  // Whether a collection that is not there is NOT_FOUND: others make it, or forget nothing.
  bool needs_collection = false;
};

template <typename Request, typename Response>
Call ByGrpc(const std::string& name, const Request& request,
            grpc::Status (v1::EncoderService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
            bool needs_collection = false) {
  return {"gRPC " + name,
          [=](TestServer& server, const std::string& key) {
            grpc::ClientContext context;
            server.client().Prepare(&context, absl::Seconds(60));
            if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
            Response response;
            const grpc::Status status =
                (server.client().stub().*method)(&context, request, &response);
            if (status.ok()) return Answer{"OK", response.ShortDebugString()};
            const auto code = static_cast<absl::StatusCode>(status.error_code());
            return Answer{absl::StatusCodeToString(code), status.error_message()};
          },
          needs_collection};
}

Call ByHttp(const std::string& line, const Json& body, bool needs_collection = false) {
  return {
      "HTTP " + line,
      [=](TestServer& server, const std::string& key) {
        HttpCaller caller(server.server().http_port());
        const std::string text = body.is_null() ? "" : body.dump();
        const HttpAnswer answer = caller.Ask(absl::StrCat(
            line, " HTTP/1.1\r\nHost: t\r\nContent-Length: ", text.size(), "\r\n",
            key.empty() ? "" : absl::StrCat("Authorization: Bearer ", key, "\r\n"), "\r\n", text));
        if (answer.code == 200) return Answer{"OK", answer.body};
        if (answer.code == 401) return Answer{"UNAUTHENTICATED", answer.body};
        const Json json = Json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
        if (!json.is_object() || !json["error"].contains("status"))
          return Answer{absl::StrCat("HTTP ", answer.code), answer.body};
        return Answer{json["error"]["status"], answer.body};
      },
      needs_collection};
}

v1::PutDocumentsRequest PutOf(const std::string& id) {
  v1::PutDocumentsRequest put;
  put.set_collection("notes");
  put.add_documents()->set_id(id);
  put.mutable_documents(0)->set_text("the lease ends");
  return put;
}

v1::SearchRequest Question() {
  v1::SearchRequest search;
  search.set_query("lease");
  search.set_collection("notes");
  return search;
}

const std::vector<Call>& Calls() {
  using Stub = v1::EncoderService::Stub;
  static const auto* const calls = [] {
    v1::DeleteDocumentsRequest some, all;
    some.set_collection("notes");
    some.add_ids("no such document");
    all.set_collection("notes");
    all.set_all(true);
    const Json document = {{"id", "a"}, {"text", "the lease ends"}};
    const Json documents = {{"documents", Json::array({document})}};
    return new std::vector<Call>{
        ByGrpc("PutDocuments", PutOf("a"), &Stub::PutDocuments),
        ByGrpc("Search", Question(), &Stub::Search, /*needs_collection=*/true),
        ByGrpc("DeleteDocuments", some, &Stub::DeleteDocuments, /*needs_collection=*/true),
        ByGrpc("DeleteDocuments, all", all, &Stub::DeleteDocuments),
        ByGrpc("ListCollections", v1::ListCollectionsRequest(), &Stub::ListCollections),
        ByHttp("PUT /collections/notes/documents", documents),
        ByHttp("POST /collections/notes/search", {{"query", "lease"}}, /*needs_collection=*/true),
        ByHttp("POST /collections/notes/delete", {{"ids", Json::array({"no such document"})}},
               /*needs_collection=*/true),
        ByHttp("DELETE /collections/notes", {}), ByHttp("GET /collections", {}),
        // As a search by its own route: the collection is then in the body.
        ByHttp("POST /search", {{"query", "lease"}, {"collection", "notes"}},
               /*needs_collection=*/true)};
  }();
  return *calls;
}

class CollectionOwnersTest : public testing::Test {
 protected:
  void Start(const std::string& keys) {
    ServerOptions options = RestOptions();
    if (!keys.empty()) options.auth_keys_file = folder_.WriteText("keys", keys);
    server_ = std::make_unique<TestServer>(RestModel(), options);
  }
  std::vector<std::string> DocumentsOf(const std::string& key) {
    grpc::ClientContext context;
    server_->client().Prepare(&context, absl::Seconds(60));
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    v1::SearchResponse response;
    server_->client().stub().Search(&context, Question(), &response);
    std::vector<std::string> ids;
    for (const v1::SearchResult& result : response.results()) ids.push_back(result.id());
    return ids;
  }
  Answer Put(const std::string& id, const std::string& key) {
    return ByGrpc("", PutOf(id), &v1::EncoderService::Stub::PutDocuments).make(*server_, key);
  }

  const TemporaryFolder folder_;
  std::unique_ptr<TestServer> server_;
};

TEST_F(CollectionOwnersTest, WithoutAKeyOrWithAWrongOne_NothingIsSaid) {
  Start(kKeys);
  EXPECT_EQ(Put("of-anna", "k-anna").code, "OK");
  for (const Call& call : Calls()) {
    for (const char* key : {"", "k-wrong", "anna"}) {
      const Answer answer = call.make(*server_, key);
      EXPECT_EQ(answer.code, "UNAUTHENTICATED") << call.name << " with '" << key << "'";
      EXPECT_THAT(answer.text, Not(HasSubstr("notes")));
    }
  }
  EXPECT_THAT(DocumentsOf("k-anna"), ElementsAre("of-anna"));
}

// Two keys without a name would share what neither knows of.
TEST_F(CollectionOwnersTest, AKeyWithoutAName_OwnsNothing) {
  Start(kKeys);
  for (const Call& call : Calls()) {
    for (const char* key : {"k-nameless", "k-another"}) {
      const Answer answer = call.make(*server_, key);
      EXPECT_EQ(answer.code, "FAILED_PRECONDITION") << call.name;
      EXPECT_THAT(answer.text, HasSubstr("collections are of a key's name")) << call.name;
    }
  }
}

TEST_F(CollectionOwnersTest, EachNameHasItsOwn_WhateverItsCollectionsAreCalled) {
  Start(kKeys);
  for (const Call& call : Calls()) {
    EXPECT_EQ(Put("of-anna", "k-anna").code, "OK");
    const Answer answer = call.make(*server_, "k-bert");
    EXPECT_EQ(answer.code, call.needs_collection ? "NOT_FOUND" : "OK") << call.name;
    EXPECT_THAT(answer.text, Not(HasSubstr("of-anna"))) << call.name;
    EXPECT_THAT(DocumentsOf("k-anna"), ElementsAre("of-anna")) << call.name;
    ByHttp("DELETE /collections/notes", {}).make(*server_, "k-bert");
  }
}

TEST_F(CollectionOwnersTest, TwoKeysOfOneName_AreOneOwner_AtEitherDoor) {
  Start(kKeys);
  EXPECT_EQ(Put("of-anna", "k-anna").code, "OK");
  EXPECT_THAT(DocumentsOf("k-second"), ElementsAre("of-anna"));
  const Answer listed = ByHttp("GET /collections", {}).make(*server_, "k-second");
  EXPECT_THAT(listed.text, HasSubstr("\"notes\""));
  EXPECT_EQ(ByHttp("DELETE /collections/notes", {}).make(*server_, "k-second").code, "OK");
  EXPECT_THAT(DocumentsOf("k-anna"), IsEmpty());
}

TEST_F(CollectionOwnersTest, WithoutKeys_AllCallersShare) {
  Start("");
  for (const Call& call : Calls()) {
    EXPECT_EQ(Put("a", "").code, "OK");
    EXPECT_EQ(call.make(*server_, "").code, "OK") << call.name;
    // A key that nobody asks for names nobody.
    EXPECT_EQ(Put("a", "k-anna").code, "OK");
    EXPECT_EQ(call.make(*server_, "k-anna").code, "OK") << call.name;
  }
}

}  // namespace
}  // namespace longspan
