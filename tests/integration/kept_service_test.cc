// Kept documents through a real server: what is put is found as Search finds the same texts, and
// nobody finds what another one keeps.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/rest_calls.h"
#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kWidth = 24;
constexpr auto kDeadline = absl::Seconds(60);

// A direction of its own for each id, a little off at each position.
void TokenRow(int32_t id, int64_t position, float* row) {
  std::mt19937 own(static_cast<uint32_t>(id)), here(static_cast<uint32_t>(id * 8191 + position));
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < kWidth; ++i) row[i] = normal(own) + 0.5f * normal(here);
}

FakeModel ModelOfRows() {
  FakeModel model;
  model.width = kWidth;
  model.max_tokens = 256;
  model.token_row = TokenRow;
  model.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";
  return model;
}

const std::vector<std::string> kVocabulary = {"lease", "court", "rent",  "tenant", "ends", "the",
                                              "of",    "in",    "month", "notice", "to",   "a"};

std::string RandomText(int words, std::mt19937& random) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    const size_t word = std::geometric_distribution<size_t>(0.2)(random);
    absl::StrAppend(&text, i == 0 ? "" : " ", kVocabulary[std::min(word, kVocabulary.size() - 1)]);
  }
  return text;
}

struct Keyed {
  std::string key;  // empty = none
};

template <typename Request, typename Response>
using Method = grpc::Status (v1::EncoderService::Stub::*)(grpc::ClientContext*, const Request&,
                                                          Response*);

struct Outcome {
  grpc::Status status;
  std::string field, reason;
};

template <typename Request, typename Response>
Outcome Call(TestServer& server, Method<Request, Response> method, const Request& request,
             Response* response, const Keyed& keyed = {}) {
  grpc::ClientContext context;
  server.client().Prepare(&context, kDeadline);
  if (!keyed.key.empty()) context.AddMetadata("authorization", "Bearer " + keyed.key);
  Outcome outcome{.status = (server.client().stub().*method)(&context, request, response)};
  google::rpc::Status detailed;
  detailed.ParseFromString(outcome.status.error_details());
  for (const auto& any : detailed.details()) {
    google::rpc::BadRequest bad;
    google::rpc::ErrorInfo error;
    if (any.UnpackTo(&bad)) outcome.field = bad.field_violations(0).field();
    if (any.UnpackTo(&error)) outcome.reason = error.reason();
  }
  return outcome;
}

v1::PutDocumentsRequest PutOf(const std::string& collection,
                              const std::vector<std::pair<std::string, std::string>>& texts) {
  v1::PutDocumentsRequest request;
  request.set_collection(collection);
  for (const auto& [id, text] : texts) {
    v1::SearchDocument* document = request.add_documents();
    document->set_id(id);
    document->set_text(text);
  }
  return request;
}

class KeptServiceTest : public testing::Test {
 protected:
  void Start(ServerOptions options = RestOptions()) {
    server_.reset();
    server_ = std::make_unique<TestServer>(ModelOfRows(), std::move(options));
  }
  v1::PutDocumentsResponse Put(const v1::PutDocumentsRequest& request, const Keyed& keyed = {}) {
    v1::PutDocumentsResponse response;
    const Outcome outcome =
        Call(*server_, &v1::EncoderService::Stub::PutDocuments, request, &response, keyed);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    return response;
  }
  Outcome PutFails(const v1::PutDocumentsRequest& request, const Keyed& keyed = {}) {
    v1::PutDocumentsResponse response;
    return Call(*server_, &v1::EncoderService::Stub::PutDocuments, request, &response, keyed);
  }
  Outcome TrySearch(const v1::SearchRequest& request, v1::SearchResponse* response,
                    const Keyed& keyed = {}) {
    return Call(*server_, &v1::EncoderService::Stub::Search, request, response, keyed);
  }
  v1::SearchResponse Search(const std::string& collection, const std::string& query,
                            const Keyed& keyed = {}) {
    v1::SearchRequest request;
    request.set_query(query);
    request.set_collection(collection);
    v1::SearchResponse response;
    const Outcome outcome = TrySearch(request, &response, keyed);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    return response;
  }
  std::vector<std::string> Ids(const v1::SearchResponse& response) {
    std::vector<std::string> ids;
    for (const v1::SearchResult& result : response.results()) ids.push_back(result.id());
    std::sort(ids.begin(), ids.end());
    return ids;
  }
  uint64_t Delete(const std::string& collection, const std::vector<std::string>& ids,
                  const Keyed& keyed = {}) {
    v1::DeleteDocumentsRequest request;
    request.set_collection(collection);
    for (const std::string& id : ids) request.add_ids(id);
    request.set_all(ids.empty());
    v1::DeleteDocumentsResponse response;
    const Outcome outcome =
        Call(*server_, &v1::EncoderService::Stub::DeleteDocuments, request, &response, keyed);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    return response.deleted();
  }
  std::vector<std::string> Names(const Keyed& keyed = {}) {
    v1::ListCollectionsResponse response;
    const Outcome outcome = Call(*server_, &v1::EncoderService::Stub::ListCollections,
                                 v1::ListCollectionsRequest(), &response, keyed);
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    std::vector<std::string> names;
    for (const v1::Collection& one : response.collections()) names.push_back(one.name());
    return names;
  }
  std::string Gauge(const std::string& name) {
    const std::string page = longspan::Get(*server_, "/metrics").http.body;
    const size_t at = page.find("\n" + name + " ");
    if (at == std::string::npos) return "not there";
    const size_t begin = at + name.size() + 2;
    return page.substr(begin, page.find('\n', begin) - begin);
  }
  void ExpectAllGivenBack() {
    const absl::Time until = absl::Now() + absl::Seconds(20);
    while (Gauge("longspan_token_vector_bytes") != "0" && absl::Now() < until)
      absl::SleepFor(absl::Milliseconds(5));
    EXPECT_EQ(Gauge("longspan_token_vector_bytes"), "0");
  }

  std::unique_ptr<TestServer> server_;
  std::mt19937 random_{7};
};

void ExpectSameResult(const v1::SearchResult& kept, const v1::SearchResult& own) {
  EXPECT_EQ(kept.id(), own.id());
  EXPECT_DOUBLE_EQ(kept.score(), own.score());
  EXPECT_EQ(kept.similarity(), own.similarity());
  EXPECT_DOUBLE_EQ(kept.bm25(), own.bm25());
  EXPECT_EQ(kept.tokens_total(), own.tokens_total());
  EXPECT_EQ(kept.tokens_used(), own.tokens_used());
  EXPECT_EQ(kept.truncated(), own.truncated());
  ASSERT_EQ(kept.used_text_size(), own.used_text_size());
  for (int i = 0; i < own.used_text_size(); ++i)
    EXPECT_EQ(kept.used_text(i).SerializeAsString(), own.used_text(i).SerializeAsString());
  ASSERT_EQ(kept.spans_size(), own.spans_size());
  for (int i = 0; i < own.spans_size(); ++i) {
    EXPECT_EQ(kept.spans(i).bytes().SerializeAsString(), own.spans(i).bytes().SerializeAsString());
    EXPECT_EQ(kept.spans(i).characters().SerializeAsString(),
              own.spans(i).characters().SerializeAsString());
    EXPECT_EQ(kept.spans(i).tokens().SerializeAsString(),
              own.spans(i).tokens().SerializeAsString());
    EXPECT_DOUBLE_EQ(kept.spans(i).score(), own.spans(i).score());
    EXPECT_EQ(kept.spans(i).similarity(), own.spans(i).similarity());
  }
}

// The same texts, kept and searched, and searched in one request: the same answer to the last bit.
TEST_F(KeptServiceTest, WhatIsKept_IsFoundAsSearchFindsIt) {
  Start();
  for (const v1::Truncation truncation :
       {v1::TRUNCATION_WINDOWS, v1::TRUNCATION_HEAD_TAIL, v1::TRUNCATION_HEAD}) {
    std::vector<std::pair<std::string, std::string>> texts;
    for (int i = 0; i < 12; ++i) {
      texts.emplace_back(absl::StrCat("text-", i),
                         i % 4 == 3 ? "Ünïcode leases, naïve ends."
                                    : RandomText(static_cast<int>(1 + random_() % 700), random_));
    }
    const std::string name = absl::StrCat("c", static_cast<int>(truncation));
    v1::PutDocumentsRequest put = PutOf(name, texts);
    put.mutable_options()->set_truncation(truncation);
    const v1::PutDocumentsResponse answer = Put(put);
    EXPECT_EQ(answer.added(), 12);
    EXPECT_EQ(answer.collection().documents(), 12);
    v1::SearchRequest request;
    request.set_query("when does the tenant's lease end");
    request.mutable_options()->set_max_documents(12);
    request.mutable_options()->set_max_spans(4);
    v1::SearchRequest kept = request;
    kept.set_collection(name);
    *request.mutable_documents() = put.documents();
    request.mutable_options()->set_truncation(truncation);
    v1::SearchResponse own, found;
    ASSERT_TRUE(TrySearch(request, &own).status.ok());
    ASSERT_TRUE(TrySearch(kept, &found).status.ok());
    ASSERT_EQ(found.results_size(), own.results_size());
    for (int i = 0; i < own.results_size(); ++i) {
      SCOPED_TRACE(absl::StrCat(v1::Truncation_Name(truncation), " ", i));
      ExpectSameResult(found.results(i), own.results(i));
    }
    EXPECT_EQ(found.documents_tokens(), own.documents_tokens());
    EXPECT_EQ(found.documents_truncated(), own.documents_truncated());
    EXPECT_EQ(found.query_tokens(), own.query_tokens());
    for (int i = 0; i < 12; ++i) {
      EXPECT_EQ(answer.results(i).id(), texts[i].first);
      EXPECT_EQ(answer.results(i).truncated(),
                answer.results(i).tokens_used() < answer.results(i).tokens_total());
    }
  }
  ExpectAllGivenBack();
}

TEST_F(KeptServiceTest, TwoBits_FindTheSameFirst_AndTakeLess) {
  Start();
  std::vector<std::pair<std::string, std::string>> texts;
  for (int i = 0; i < 20; ++i)
    texts.emplace_back(absl::StrCat("text-", i), RandomText(60, random_));
  texts[13].second += " court rent notice court tenant";
  v1::PutDocumentsRequest put = PutOf("int8", texts);
  const auto int8 = Put(put);
  put.set_collection("bits");
  put.mutable_options()->set_format(v1::KEPT_FORMAT_TWO_BIT);
  const auto bits = Put(put);
  EXPECT_LT(bits.collection().bytes(), int8.collection().bytes());
  EXPECT_EQ(bits.collection().format(), v1::KEPT_FORMAT_TWO_BIT);
  const std::string query = "court rent notice court tenant";
  EXPECT_EQ(Search("bits", query).results(0).id(), Search("int8", query).results(0).id());
}

TEST_F(KeptServiceTest, Documents_AreReplaced_Deleted_AndListed) {
  Start();
  Put(PutOf("b", {{"one", "the lease ends in a month"}, {"two", "the court of rent"}}));
  Put(PutOf("a", {{"one", "notice"}}));
  EXPECT_THAT(Names(), ElementsAre("a", "b"));
  const auto again = Put(PutOf("b", {{"two", "the tenant"}, {"three", "a notice"}}));
  EXPECT_EQ(again.added(), 1);
  EXPECT_EQ(again.replaced(), 1);
  EXPECT_EQ(again.collection().documents(), 3);
  EXPECT_THAT(Ids(Search("b", "lease")), ElementsAre("one", "three", "two"));
  EXPECT_EQ(Delete("b", {"one", "nobody", "three"}), 2);
  EXPECT_THAT(Ids(Search("b", "lease")), ElementsAre("two"));
  EXPECT_EQ(Search("b", "tenant").results(0).spans(0).bytes().end(), 10);
  EXPECT_EQ(Delete("b", {}), 1);
  EXPECT_EQ(Delete("b", {}), 0);
  EXPECT_THAT(Names(), ElementsAre("a"));
  v1::SearchRequest request;
  request.set_query("lease");
  request.set_collection("b");
  v1::SearchResponse response;
  const Outcome gone = TrySearch(request, &response);
  EXPECT_EQ(gone.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(gone.status.error_message(), HasSubstr("'b'"));
}

TEST_F(KeptServiceTest, AKeySeesItsOwnAlone) {
  const TemporaryFolder folder;
  ServerOptions options = RestOptions();
  options.auth_keys_file = folder.WriteText("keys", "anna k-anna\nbert k-bert\nk-nameless\n");
  Start(options);
  const Keyed anna{"k-anna"}, bert{"k-bert"}, nameless{"k-nameless"};
  Put(PutOf("shared", {{"of-anna", "the lease ends"}}), anna);
  Put(PutOf("shared", {{"of-bert", "the court"}}), bert);
  EXPECT_THAT(Ids(Search("shared", "lease", anna)), ElementsAre("of-anna"));
  EXPECT_THAT(Ids(Search("shared", "lease", bert)), ElementsAre("of-bert"));
  Put(PutOf("own", {{"x", "rent"}}), bert);
  EXPECT_THAT(Names(anna), ElementsAre("shared"));
  EXPECT_EQ(Delete("own", {}, anna), 0);
  EXPECT_EQ(Delete("shared", {}, bert), 1);
  EXPECT_THAT(Ids(Search("shared", "lease", anna)), ElementsAre("of-anna"));
  const Outcome refused = PutFails(PutOf("shared", {{"a", "b"}}), nameless);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(refused.field, "collection");
  HttpCaller caller(server_->server().http_port());
  EXPECT_EQ(caller
                .Post("/collections/shared/search", R"({"query":"lease"})",
                      "Authorization: Bearer k-bert\r\n")
                .code,
            404);
}

TEST_F(KeptServiceTest, AllOrNothing) {
  Start();
  Put(PutOf("c", {{"one", "the lease"}}));
  // The second text is too long for the model.
  const Outcome refused =
      PutFails(PutOf("c", {{"two", "rent"}, {"three", RandomText(900, random_)}}));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("documents[1].text (id 'three')"));
  EXPECT_THAT(Ids(Search("c", "rent")), ElementsAre("one"));
  ExpectAllGivenBack();
}

TEST_F(KeptServiceTest, Bounds) {
  ServerOptions options = RestOptions();
  options.max_collection_bytes = 64 << 10;
  Start(options);
  v1::PutDocumentsRequest put = PutOf("c", {{"a", RandomText(60, random_)}});
  const uint64_t bytes = Put(put).collection().bytes();
  uint64_t kept = 1;
  Outcome full;
  while (kept < 100) {
    put.mutable_documents(0)->set_id(absl::StrCat("d", kept));
    full = PutFails(put);
    if (!full.status.ok()) break;
    ++kept;
  }
  EXPECT_EQ(full.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(full.reason, "MAX_COLLECTION_BYTES");
  EXPECT_EQ(kept, (64 << 10) / bytes);
  // What cannot fit by its tokens alone is refused before the model reads it.
  std::vector<std::string> small;
  while (small.size() < 100) {
    const std::string id = absl::StrCat("s", small.size());
    if (!PutFails(PutOf("c", {{id, "rent"}})).status.ok()) break;
    small.push_back(id);
  }
  ASSERT_LT(small.size(), 100u);
  const std::string passes = Gauge("longspan_batch_texts_count");
  const Outcome long_text = PutFails(PutOf("c", {{"long", RandomText(60, random_)}}));
  EXPECT_EQ(long_text.reason, "MAX_COLLECTION_BYTES");
  if (!small.empty()) Delete("c", small);
  EXPECT_THAT(long_text.status.error_message(), HasSubstr("would take at least "));
  EXPECT_EQ(Gauge("longspan_batch_texts_count"), passes);
  EXPECT_NE(passes, "not there");
  // What takes the place of another needs no more room.
  put.mutable_documents(0)->set_id("a");
  EXPECT_EQ(Put(put).replaced(), 1);
  Delete("c", {"a"});
  put.mutable_documents(0)->set_id("new");
  EXPECT_EQ(Put(put).added(), 1);
  EXPECT_EQ(Gauge("longspan_kept_documents"), absl::StrCat(kept));
  ExpectAllGivenBack();
}

TEST_F(KeptServiceTest, TimeToLive) {
  Start();
  v1::PutDocumentsRequest put = PutOf("c", {{"short", "the lease"}});
  put.mutable_options()->set_ttl_seconds(0.2);
  Put(put);
  Put(PutOf("c", {{"long", "the lease"}}));
  absl::SleepFor(absl::Milliseconds(250));
  EXPECT_THAT(Ids(Search("c", "lease")), ElementsAre("long"));
  // The server's own bound is the smaller one.
  ServerOptions options = RestOptions();
  options.collection_ttl = absl::Milliseconds(200);
  Start(options);
  put.mutable_options()->set_ttl_seconds(1e6);
  Put(put);
  absl::SleepFor(absl::Milliseconds(250));
  EXPECT_THAT(Ids(Search("c", "lease")), ElementsAre());
}

TEST_F(KeptServiceTest, OnDisk_OutliveTheServer) {
  const TemporaryFolder folder;
  ServerOptions options = RestOptions();
  options.collections_directory = folder.path() + "/kept";
  Start(options);
  std::vector<std::pair<std::string, std::string>> texts;
  for (int i = 0; i < 5; ++i) texts.emplace_back(absl::StrCat(i), RandomText(60, random_));
  Put(PutOf("c", texts));
  Delete("c", {"3"});
  const auto before = Search("c", "when does the lease end");
  Start(options);
  auto after = Search("c", "when does the lease end");
  ASSERT_EQ(after.results_size(), 4);
  for (int i = 0; i < 4; ++i) ExpectSameResult(after.results(i), before.results(i));
}

TEST_F(KeptServiceTest, SettingsAreOfTheCollection) {
  Start();
  v1::PutDocumentsRequest put = PutOf("c", {{"one", "der Mieter, die Mieten"}});
  put.mutable_options()->set_language("german");
  put.mutable_options()->set_span_tokens(32);
  const auto made = Put(put);
  EXPECT_EQ(made.collection().language(), "german");
  EXPECT_EQ(made.collection().span_tokens(), 32);
  EXPECT_GT(Search("c", "Miete").results(0).bm25(), 0);
  put.mutable_options()->set_language("english");
  const Outcome language = PutFails(put);
  EXPECT_EQ(language.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(language.field, "options.language");
  put.mutable_options()->clear_language();
  put.mutable_options()->set_format(v1::KEPT_FORMAT_TWO_BIT);
  EXPECT_EQ(PutFails(put).field, "options.format");
  put.mutable_options()->clear_format();
  put.mutable_options()->set_span_tokens(64);
  EXPECT_EQ(PutFails(put).field, "options.span_tokens");
  put.mutable_options()->clear_span_tokens();
  EXPECT_EQ(Put(put).replaced(), 1);
}

TEST_F(KeptServiceTest, Off_IsSaid) {
  ServerOptions options = RestOptions();
  options.collections = false;
  Start(options);
  const Outcome refused = PutFails(PutOf("c", {{"one", "lease"}}));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("--collections"));
  v1::GetModelInfoResponse info;
  Call(*server_, &v1::EncoderService::Stub::GetModelInfo, v1::GetModelInfoRequest(), &info);
  EXPECT_EQ(info.limits().max_collection_bytes(), 0);
}

TEST_F(KeptServiceTest, ACallerThatLeaves_KeepsNothing) {
  Start();
  FakeModel model = ModelOfRows();
  server_ = std::make_unique<TestServer>(model, RestOptions());
  model.gate->Close();
  grpc::ClientContext context;
  server_->client().Prepare(&context, kDeadline);
  std::thread caller([&] {
    v1::PutDocumentsResponse response;
    const grpc::Status status = server_->client().stub().PutDocuments(
        &context, PutOf("c", {{"one", "lease"}, {"two", "rent"}}), &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  });
  while (!model.gate->held()) absl::SleepFor(absl::Milliseconds(1));
  context.TryCancel();
  caller.join();
  model.gate->Open();
  EXPECT_THAT(Names(), ElementsAre());
  ExpectAllGivenBack();
}

// Put, search and delete at once: each search sees whole documents, and none is lost.
TEST_F(KeptServiceTest, ManyAtOnce) {
  Start();
  Put(PutOf("c", {{"fixed", "the lease ends in a month"}}));
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (int writer = 0; writer < 3; ++writer) {
    threads.emplace_back([&, writer] {
      std::mt19937 random(writer);
      for (int round = 0; round < 20; ++round) {
        const std::string id = absl::StrCat(writer, "-", round);
        Put(PutOf("c", {{id, RandomText(60, random)}}));
        if (round % 2 == 1) {
          EXPECT_EQ(Delete("c", {id}), 1);
        }
      }
    });
  }
  std::thread reader([&] {
    while (!done) EXPECT_GE(Search("c", "lease").results_size(), 1);
  });
  for (std::thread& thread : threads) thread.join();
  done = true;
  reader.join();
  v1::SearchRequest request;
  request.set_query("lease");
  request.set_collection("c");
  request.mutable_options()->set_max_documents(100);
  v1::SearchResponse response;
  ASSERT_TRUE(TrySearch(request, &response).status.ok());
  EXPECT_EQ(response.results_size(), 1 + 3 * 10);
}

TEST_F(KeptServiceTest, ByHttp) {
  Start();
  HttpCaller caller(server_->server().http_port());
  const auto send = [&](const std::string& method, const std::string& path, const Json& body) {
    const std::string text = body.is_null() ? "" : body.dump();
    return AnswerOf(caller.Ask(absl::StrCat(
        method, " ", path, " HTTP/1.1\r\nHost: x\r\n",
        "Content-Type: application/json\r\nContent-Length: ", text.size(), "\r\n\r\n", text)));
  };
  const Json documents = {{"documents",
                           {{{"id", "a"}, {"text", "the lease ends in a month"}},
                            {{"id", "b"}, {"text", "the court"}}}}};
  RestAnswer answer = send("PUT", "/collections/notes/documents", documents);
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  EXPECT_EQ(answer.body["added"], 2);
  EXPECT_EQ(answer.body["collection"]["name"], "notes");
  answer = send("POST", "/collections/notes/search", {{"query", "when does it end"}, {"limit", 1}});
  ASSERT_EQ(answer.code, 200) << answer.http.body;
  ASSERT_EQ(answer.body["results"].size(), 1u);
  EXPECT_EQ(answer.body["results"][0]["id"], "a");
  EXPECT_EQ(answer.body["results"][0]["spans"][0]["begin"], 0);
  EXPECT_EQ(answer.body["results"][0]["spans"][0]["end"], 25);
  answer = send("GET", "/collections", {});
  EXPECT_EQ(answer.body["collections"][0]["name"], "notes");
  answer = send("POST", "/collections/notes/delete", {{"ids", {"b", "c"}}});
  EXPECT_EQ(answer.body["deleted"], "1");
  answer = send("DELETE", "/collections/notes", {});
  EXPECT_EQ(answer.body["deleted"], "1");
  answer = send("POST", "/collections/notes/search", {{"query", "x"}});
  EXPECT_EQ(answer.code, 404);
  answer = send("PUT", "/collections/.hidden/documents", documents);
  EXPECT_EQ(answer.code, 400);
  EXPECT_THAT(answer.http.body, HasSubstr("collection"));
  answer = send("PUT", "/collections/notes/documents", {{"documents", {"no id"}}});
  EXPECT_EQ(answer.code, 400);
  EXPECT_THAT(answer.http.body, HasSubstr("documents[0].id"));
  EXPECT_EQ(send("GET", "/collections/notes/documents", {}).code, 405);
}

}  // namespace
}  // namespace longspan
