// Messages of the contract from JSON: against protobuf's own writer and reader, for every field
// that a request has.
#include "server/rest/json_message.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <longspan/v1/encoder.pb.h>

#include <cmath>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;

absl::Status Read(std::string_view json, Message* message, IgnoredFields* ignored) {
  auto value = ReadJson(json);
  return value.ok() ? ReadMessage(*std::move(value), message, ignored) : value.status();
}

absl::Status Read(std::string_view json, Message* message) {
  IgnoredFields ignored;
  return Read(json, message, &ignored);
}

// Fills every field, of each choice one, with drawn values.
class Filler {
 public:
  explicit Filler(unsigned seed) : random_(seed) {}

  void Fill(Message* message) {
    std::set<const google::protobuf::OneofDescriptor*> chosen;
    for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor& field = *message->GetDescriptor()->field(i);
      const auto* choice = field.real_containing_oneof();
      if (choice != nullptr) {
        if (chosen.contains(choice) || random_() % 2 == 0) continue;
        chosen.insert(choice);
      }
      if (!field.is_repeated()) {
        FillOne(field, message);
        continue;
      }
      for (unsigned n = random_() % 3; n > 0; --n) FillOne(field, message);
    }
  }

 private:
  void FillOne(const FieldDescriptor& field, Message* message) {
    const auto& reflection = *message->GetReflection();
    const bool add = field.is_repeated();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(add ? reflection.AddMessage(message, &field)
                        : reflection.MutableMessage(message, &field));
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string text = absl::StrCat("t\"\\\n\xc3\xa9 ", random_());
        return add ? reflection.AddString(message, &field, text)
                   : reflection.SetString(message, &field, text);
      }
      case FieldDescriptor::CPPTYPE_UINT32: {
        const auto number = static_cast<uint32_t>(random_());
        return add ? reflection.AddUInt32(message, &field, number)
                   : reflection.SetUInt32(message, &field, number);
      }
      case FieldDescriptor::CPPTYPE_UINT64:
        return reflection.SetUInt64(message, &field, random_());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return reflection.SetDouble(
            message, &field,
            std::ldexp(static_cast<double>(random_()), static_cast<int>(random_() % 200) - 150));
      case FieldDescriptor::CPPTYPE_BOOL:
        return reflection.SetBool(message, &field, random_() % 2 == 0);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto& type = *field.enum_type();
        return reflection.SetEnum(message, &field,
                                  type.value(static_cast<int>(random_() % type.value_count())));
      }
      default:
        FAIL() << field.full_name() << " has a type that ReadMessage does not know";
    }
  }

  std::mt19937_64 random_;
};

std::vector<const Message*> Requests() {
  return {&v1::EncodeRequest::default_instance(), &v1::EncodeTokensRequest::default_instance(),
          &v1::EncodeStreamRequest::default_instance(), &v1::SearchRequest::default_instance()};
}

// Whatever protobuf writes is read as protobuf meant it.
TEST(JsonMessageTest, ReadsWhatProtobufWrites) {
  for (const Message* type : Requests()) {
    for (unsigned seed = 0; seed < 200; ++seed) {
      const std::unique_ptr<Message> expected(type->New());
      Filler(seed).Fill(expected.get());
      google::protobuf::util::JsonPrintOptions options;
      options.preserve_proto_field_names = seed % 2 == 0;
      options.always_print_enums_as_ints = seed % 3 == 0;
      options.always_print_primitive_fields = seed % 5 == 0;
      std::string json;
      ASSERT_TRUE(google::protobuf::util::MessageToJsonString(*expected, &json, options).ok());
      const std::unique_ptr<Message> read(type->New());
      const absl::Status status = Read(json, read.get());
      ASSERT_TRUE(status.ok()) << status << "\n" << json;
      ASSERT_TRUE(MessageDifferencer::Equals(*expected, *read)) << json;
    }
  }
}

TEST(JsonMessageTest, ReadsNumbersAsDigitsAndAsNumbers) {
  v1::Range range;
  ASSERT_TRUE(Read(R"({"begin":"18446744073709551615","end":5})", &range).ok());
  EXPECT_EQ(range.begin(), UINT64_MAX);
  EXPECT_EQ(range.end(), 5);
  v1::SearchOptions options;
  ASSERT_TRUE(
      Read(R"({"lateWeight":"0.25","lexicalWeight":2,"bm25K1":-1e3,"bm25B":"NaN"})", &options)
          .ok());
  EXPECT_EQ(options.late_weight(), 0.25);
  EXPECT_EQ(options.lexical_weight(), 2);
  EXPECT_EQ(options.bm25_k1(), -1000);
  EXPECT_TRUE(std::isnan(options.bm25_b()));
  for (const char* wrong : {"true", "[]", "\"a\"", "{}"}) {
    const absl::Status status = Read(absl::StrCat(R"({"bm25B":)", wrong, "}"), &options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("; allowed: a number"));
  }
}

TEST(JsonMessageTest, NullIsUnset) {
  v1::EncodeOptions options;
  ASSERT_TRUE(Read(R"({"normalize":null,"pooling":null,"hashSeed":null})", &options).ok());
  EXPECT_FALSE(options.has_normalize());
  EXPECT_FALSE(options.has_hash_seed());
}

struct BadCase {
  const char* json;
  const char* field;
  const char* message;
};

TEST(JsonMessageTest, RefusesAndNamesTheFieldAsTheContractDoes) {
  const BadCase cases[] = {
      {R"([])", "", "the body is an array; allowed: an object"},
      {R"({"inputs":{}})", "inputs", "is an object; allowed: an array"},
      {R"({"inputs":[3]})", "inputs[0]", "is a number; allowed: an object"},
      {R"({"inputs":[{"text":3}]})", "inputs[0].text", "is the number 3; allowed: a string"},
      {R"({"inputs":[{"text":"a","tokenIds":{"ids":[1]}}]})", "inputs[0].token_ids",
       "is given together with text"},
      {R"({"inputs":[{"tokenIds":{},"token_ids":{}}]})", "inputs[0].token_ids", "twice"},
      {R"({"inputs":[{"tokenIds":{"ids":[1,-1]}}]})", "inputs[0].token_ids.ids[1]",
       "is the number -1; allowed: a whole number of 0 to 4294967295"},
      {R"({"inputs":[{"tokenIds":{"ids":[1,4294967296]}}]})", "inputs[0].token_ids.ids[1]",
       "is the number"},
      {R"({"inputs":[{"spans":[{"begin":1.5}]}]})", "inputs[0].spans[0].begin", "1.5"},
      {R"({"inputs":[{"spans":[{"begin":"1x"}]}]})", "inputs[0].spans[0].begin", "'1x'"},
      {R"({"inputs":[{"spans":[{"begin":"18446744073709551616"}]}]})", "inputs[0].spans[0].begin",
       "allowed"},
      {R"({"inputs":[{"spans":[{"begin":""}]}]})", "inputs[0].spans[0].begin", "allowed"},
      {R"({"options":{"pooling":"MEAN"}})", "options.pooling", "'POOLING_MEAN'"},
      {R"({"options":{"pooling":99}})", "options.pooling", "is the number 99"},
      {R"({"options":{"normalize":"yes"}})", "options.normalize", "allowed: true or false"},
      {R"({"options":{"lexical":{"k1":"x"}}})", "options.lexical.k1", "is 'x'; allowed: a number"},
      {R"({"options":{"lexical":{"stopWords":[1]}}})", "options.lexical.stop_words[0]",
       "is a number; allowed: a string"},
      {R"({"options":[]})", "options", "allowed: an object"}};
  for (const BadCase& bad : cases) {
    v1::EncodeRequest request;
    const absl::Status status = Read(bad.json, &request);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad.json;
    EXPECT_EQ(FieldOf(status).value_or(""), bad.field) << bad.json;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message)) << bad.json;
  }
}

TEST(JsonMessageTest, NamesUnknownFieldsAndRefusesThemWhereAsked) {
  const char json[] = R"({"inputs":[{"text":"a","tex":1}],"poolng":{"a":[1]}})";
  v1::EncodeRequest request;
  IgnoredFields ignored;
  ASSERT_TRUE(Read(json, &request, &ignored).ok());
  EXPECT_EQ(request.inputs(0).text(), "a");
  HttpResponse response;
  ignored.AddHeader(&response);
  EXPECT_EQ(response.headers["X-Ignored-Fields"], "inputs[0].tex, poolng");

  IgnoredFields strict(true);
  const absl::Status status = Read(json, &request, &strict);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'inputs[0].tex' is not known"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'text'"));
}

// A name comes from anybody, and a header is no place for what is not plain.
TEST(JsonMessageTest, AHeaderHoldsPlainNamesOnly) {
  IgnoredFields ignored;
  for (const std::string& name :
       {std::string("a\r\nX-Evil: 1"), std::string("\xc3\xa9"), std::string(1000, 'x')})
    ASSERT_TRUE(ignored.Add(name, "").ok());
  HttpResponse response;
  ignored.AddHeader(&response);
  EXPECT_EQ(response.headers["X-Ignored-Fields"], "?, ?, ?");
}

}  // namespace
}  // namespace longspan
