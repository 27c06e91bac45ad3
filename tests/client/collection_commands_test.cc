// The commands of kept documents as a user meets them: `put`, `search --collection`, `collections`,
// `delete`.
#include "client/collection_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "client/collection_text.h"
#include "client/kept_search.h"
#include "tests/client/command_line.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class CollectionCommandsTest : public CommandLineTest {
 protected:
  std::string In(const std::string& name) const { return folder_.path() + "/" + name; }
  // The ids of each call of PutDocuments, without the folder.
  std::vector<std::vector<std::string>> PutIds() const {
    std::vector<std::vector<std::string>> ids;
    for (const v1::PutDocumentsRequest& request : server_.puts()) {
      ids.emplace_back();
      for (const v1::SearchDocument& document : request.documents())
        ids.back().push_back(document.id().substr(folder_.path().size() + 1));
    }
    return ids;
  }
};

TEST_F(CollectionCommandsTest, Put_SendsAllFilesWithTheirPaths_AndWhatTheOptionsSay) {
  server_.set_on_put([](const v1::PutDocumentsRequest&, v1::PutDocumentsResponse* response) {
    response->set_replaced(1);
    response->mutable_collection()->set_documents(40);
    response->mutable_collection()->set_tokens(1234);
    response->mutable_collection()->set_bytes(30513561);
    return grpc::Status::OK;
  });
  TextFile("texts/a.md", "one");
  TextFile("texts/b.md", "long text");
  TextFile("texts/c.log", "left out");
  const Outcome outcome =
      Run({"put", "contracts", In("texts"), "--include", "*.md", "--ttl", "1.5h", "--format",
           "two-bit", "--language", "german", "--span-tokens", "128", "--truncation", "head-tail",
           "--max-tokens", "100"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "    tokens truncated  id\n         3            " + In("texts/a.md") +
                             "\n         9       yes  " + In("texts/b.md") + "\n");
  EXPECT_THAT(outcome.err, HasSubstr("2 documents kept in contracts, 1 in the place of others; "
                                     "12 tokens read in "));
  EXPECT_THAT(outcome.err, HasSubstr("contracts has 40 documents, 1234 tokens, 29.1 MiB\n"));
  ASSERT_EQ(server_.puts().size(), 1u);
  const v1::PutDocumentsRequest request = server_.puts()[0];
  EXPECT_EQ(request.collection(), "contracts");
  ASSERT_EQ(request.documents_size(), 2);
  EXPECT_EQ(request.documents(0).text(), "one");
  EXPECT_EQ(request.options().ttl_seconds(), 5400);
  EXPECT_EQ(request.options().format(), v1::KEPT_FORMAT_TWO_BIT);
  EXPECT_EQ(request.options().language(), "german");
  EXPECT_EQ(request.options().span_tokens(), 128u);
  EXPECT_EQ(request.options().truncation(), v1::TRUNCATION_HEAD_TAIL);
  EXPECT_EQ(request.options().max_tokens(), 100u);
}

TEST_F(CollectionCommandsTest, Put_LeavesTheCollectionsOwnSettingsUnset) {
  EXPECT_EQ(Run({"put", "c", TextFile("a", "one")}).exit_code, 0);
  const v1::PutOptions options = server_.puts()[0].options();
  EXPECT_FALSE(options.has_ttl_seconds());
  EXPECT_EQ(options.format(), v1::KEPT_FORMAT_UNSPECIFIED);
  EXPECT_EQ(options.span_tokens(), 0u);
  EXPECT_EQ(options.language(), "");
}

TEST_F(CollectionCommandsTest, Put_DividesFilesByTheLimits_AndByAMegabyte) {
  for (int i = 0; i < 5; ++i) TextFile("few/" + std::to_string(i), "text");
  v1::Limits limits;
  limits.set_max_texts_per_request(2);
  server_.set_limits(limits);
  EXPECT_EQ(Run({"put", "c", In("few")}).exit_code, 0);
  EXPECT_THAT(PutIds(), ElementsAre(ElementsAre("few/0", "few/1"), ElementsAre("few/2", "few/3"),
                                    ElementsAre("few/4")));
  limits.set_max_texts_per_request(0);
  limits.set_max_request_bytes(1000);
  server_.set_limits(limits);
  for (int i = 0; i < 4; ++i) TextFile("bytes/" + std::to_string(i), std::string(350, 'x'));
  EXPECT_EQ(Run({"put", "c", In("bytes")}).exit_code, 0);
  EXPECT_EQ(server_.puts().size(), 5u);
  server_.set_limits({});
  TextFile("large/0", std::string(2 << 20, 'x'));
  TextFile("large/1", "text");
  const Outcome outcome = Run({"put", "c", In("large")});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(server_.puts().size(), 7u);
  EXPECT_THAT(outcome.err, HasSubstr("2 documents kept"));
}

TEST_F(CollectionCommandsTest, Put_GoesOnWithoutWhatIsRefused) {
  server_.set_on_put([](const v1::PutDocumentsRequest& request, v1::PutDocumentsResponse*) {
    for (int i = 0; i < request.documents_size(); ++i) {
      if (request.documents(i).text() == "refuse me") {
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                            "documents[" + std::to_string(i) + "].text has 9120 tokens");
      }
    }
    return grpc::Status::OK;
  });
  TextFile("in/a", "good");
  TextFile("in/b", "refuse me");
  TextFile("in/c", "good");
  TextFile("in/d", "refuse me");
  const Outcome outcome = Run({"put", "c", In("in"), "/no/such/file"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("INVALID_ARGUMENT: documents[1].text has 9120 tokens\n"));
  EXPECT_THAT(outcome.err, HasSubstr("INVALID_ARGUMENT: documents[2].text has 9120 tokens\n"));
  EXPECT_THAT(outcome.err, HasSubstr("/no/such/file cannot be read"));
  EXPECT_THAT(outcome.err, HasSubstr("2 documents kept"));
  EXPECT_THAT(PutIds().back(), ElementsAre("in/a", "in/c"));
  EXPECT_EQ(Run({"put", "c", In("in/a"), "/no/such/file"}).exit_code, 3);
}

TEST_F(CollectionCommandsTest, Put_EndsWithAnErrorOfTheCall) {
  server_.set_on_put([](const v1::PutDocumentsRequest&, v1::PutDocumentsResponse*) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "collection is \".a\"");
  });
  v1::Limits limits;
  limits.set_max_texts_per_request(1);
  server_.set_limits(limits);
  const Outcome outcome = Run({"put", ".a", TextFile("a", "one"), TextFile("b", "two")});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "longspan: INVALID_ARGUMENT: collection is \".a\"\n");
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(server_.puts().size(), 1u);
}

TEST_F(CollectionCommandsTest, Put_TakesAFileOnce_AndSomeFileThereMustBe) {
  const std::string file = TextFile("a", "one");
  const Outcome twice = Run({"put", "c", file, file});
  EXPECT_EQ(twice.exit_code, 0);
  EXPECT_THAT(twice.err, HasSubstr("longspan: skipped: " + file + " is given twice\n"));
  EXPECT_EQ(server_.puts()[0].documents_size(), 1);
  std::filesystem::create_directory(In("empty"));
  const Outcome none = Run({"put", "c", In("empty")});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("there is no text to keep"));
  EXPECT_EQ(server_.puts().size(), 1u);
}

TEST_F(CollectionCommandsTest, WrongUsage_IsExit100OrAbove_AndSendsNothing) {
  const std::string file = TextFile("a", "one");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"put", "c"},
           {"put", "", file},
           {"put", "c", file, "--ttl", "0"},
           {"put", "c", file, "--format", "int4"},
           {"delete", "c"},
           {"delete", "c", "a", "--all"},
           {"delete", "", "--all"},
           {"search", "lease"},
           {"search", "lease", "--collection", ""},
           {"search", "lease", file, "--collection", "c"},
           {"search", "lease", "--collection", "c", "--truncation", "head"},
           {"search", "lease", "--collection", "c", "--max-tokens", "9"},
           {"search", "lease", "--collection", "c", "--language", "german"},
           {"search", "lease", "--collection", "c", "--span-tokens", "32"}})
    EXPECT_GE(Run(arguments).exit_code, 100) << testing::PrintToString(arguments);
  EXPECT_TRUE(server_.puts().empty());
  EXPECT_TRUE(server_.deletes().empty());
}

// An answer in the second line of one document.
v1::SearchResponse AnswerIn(const std::string& id) {
  v1::SearchResponse response;
  v1::SearchResult* result = response.add_results();
  result->set_id(id);
  result->set_score(1.5);
  v1::SearchSpan* span = result->add_spans();
  span->mutable_bytes()->set_begin(5);
  span->mutable_bytes()->set_end(19);
  span->mutable_characters()->set_begin(4);
  span->mutable_characters()->set_end(18);
  response.set_documents_tokens(1);
  return response;
}
constexpr char kText[] = "\u00e9ne\nThe lease ends.";

TEST_F(CollectionCommandsTest, Search_PrintsPlaces_AndPassagesOfFilesThatAreThere) {
  server_.set_search_response(AnswerIn(TextFile("a", kText)));
  const Outcome outcome = Run({"search", "when does the lease end?", "--collection", "contracts",
                               "--limit", "4", "--spans", "2", "--color", "always"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("1  " + In("a")));
  EXPECT_THAT(outcome.out, HasSubstr("line 2, characters 4..18"));
  EXPECT_THAT(outcome.out, HasSubstr("The \x1b[1;33mlease\x1b[0m"));
  EXPECT_THAT(outcome.err, HasSubstr("1 token in contracts, searched in 0 ms"));
  const v1::SearchRequest request = server_.last_search();
  EXPECT_EQ(request.collection(), "contracts");
  EXPECT_EQ(request.documents_size(), 0);
  EXPECT_EQ(request.options().max_documents(), 4u);
  EXPECT_EQ(request.options().max_spans(), 2u);
  EXPECT_EQ(request.options().truncation(), v1::TRUNCATION_UNSPECIFIED);

  server_.set_search_response(AnswerIn("contract\x1b[2J17"));
  const Outcome gone = Run({"search", "lease", "--collection", "contracts"});
  EXPECT_EQ(gone.exit_code, 0);
  EXPECT_THAT(gone.out, HasSubstr("1  contract?[2J17"));
  EXPECT_THAT(gone.out, HasSubstr("   characters 4..18  "));
  EXPECT_THAT(gone.out, Not(HasSubstr("line")));
  EXPECT_THAT(Run({"search", "lease", "--collection", "c", "--format", "json"}).out,
              HasSubstr("\"results\":[{"));
}

TEST_F(CollectionCommandsTest, KeptFile_IsShownWhereItsPassagesFit) {
  const auto result_in = [](const std::string& id) { return AnswerIn(id).results(0); };
  const auto has_text = [&](const std::string& id) {
    testing::internal::CaptureStderr();
    const bool shown = KeptFile(result_in(id), 1000).has_text;
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(said.empty(), shown || !std::filesystem::is_regular_file(id)) << said;
    return shown;
  };
  EXPECT_TRUE(has_text(TextFile("same", kText)));
  EXPECT_FALSE(has_text(TextFile("shorter", "one\nThe lease")));
  EXPECT_FALSE(has_text(TextFile("other", "one\nThe lease ends. And more.")));  // no \u00e9
  EXPECT_FALSE(has_text(TextFile("cut", "ones\u00e9The lease ends.")));         // between its bytes
  EXPECT_FALSE(has_text(TextFile("latin1", "Gr\xfc\xdf and more to read here")));
  EXPECT_FALSE(has_text(TextFile("large", std::string(2000, 'x'))));
  EXPECT_FALSE(has_text(folder_.path()));
  EXPECT_FALSE(has_text("/dev/zero"));
  EXPECT_FALSE(has_text(In("none")));
  EXPECT_FALSE(has_text("-"));
}

TEST_F(CollectionCommandsTest, Collections_AreATable_AndJsonForScripts) {
  EXPECT_EQ(Run({"collections"}).out, "there are no collections\n");
  v1::ListCollectionsResponse response;
  v1::Collection* one = response.add_collections();
  one->set_name("contracts");
  one->set_documents(128);
  one->set_tokens(1203456);
  one->set_bytes(30513561);
  one->set_format(v1::KEPT_FORMAT_TWO_BIT);
  one->set_span_tokens(64);
  one->set_language("english");
  v1::Collection* old = response.add_collections();
  old->set_name("old");
  old->set_error("of another model");
  server_.set_collections(response);
  EXPECT_EQ(Run({"collections"}).out,
            "documents       tokens      bytes  format   span  language    name\n"
            "      128      1203456   29.1 MiB  two_bit    64  english     contracts\n"
            "        -            -          -  -           -  -           old: cannot be used: of "
            "another model\n");
  const Outcome scripts = Run({"collections", "--format", "json"});
  EXPECT_EQ(scripts.exit_code, 0);
  EXPECT_THAT(scripts.out, HasSubstr("\"name\":\"contracts\""));
}

TEST_F(CollectionCommandsTest, Delete_NamesIds_OrAll) {
  EXPECT_EQ(Run({"delete", "contracts", "a.txt", "b/c.txt"}).out, "2 documents deleted\n");
  EXPECT_EQ(Run({"delete", "contracts", "Gr\xfc\xdf"}).out, "1 document deleted\n");
  EXPECT_EQ(Run({"delete", "contracts", "--all"}).out, "7 documents deleted\n");
  const std::vector<v1::DeleteDocumentsRequest> deletes = server_.deletes();
  ASSERT_EQ(deletes.size(), 3u);
  EXPECT_EQ(deletes[0].collection(), "contracts");
  EXPECT_THAT(deletes[0].ids(), ElementsAre("a.txt", "b/c.txt"));
  EXPECT_FALSE(deletes[0].all());
  EXPECT_THAT(deletes[1].ids(), ElementsAre("Gr??"));  // as put names such a file
  EXPECT_TRUE(deletes[2].all());
  std::vector<std::string> many = {"delete", "contracts"};
  for (int i = 0; i < 25'000; ++i) many.push_back(std::to_string(i));
  EXPECT_EQ(Run(many).out, "25000 documents deleted\n");
  ASSERT_EQ(server_.deletes().size(), 6u);
  EXPECT_EQ(server_.deletes()[3].ids_size(), 10'000);
  EXPECT_EQ(server_.deletes()[5].ids_size(), 5'000);
}

TEST(PrintableText, HasNoControlCharacters) {
  EXPECT_EQ(PrintableText("a\x1b[2J\x7f\u0085b\nc \u00e9\u00a0"), "a?[2J??b c \u00e9\u00a0");
  EXPECT_EQ(PrintableText("\xc2"), "\xc2");
}

}  // namespace
}  // namespace longspan
