// How often a request repeats its fields, found on its bytes.
#include "server/wire/wire_limits.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <longspan/v1/encoder.pb.h>
#include <tei/v1/tei.pb.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "core/error_details.h"

namespace longspan {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using ::testing::HasSubstr;

constexpr DecodingContext kContext = {
    .max_texts_per_request = 4, .max_text_bytes = 400, .max_global_spans = 100};

// `bytes` in slices of `slice` bytes, as they may come from the network.
absl::Status Check(const Descriptor* type, const std::string& bytes, size_t slice = 1 << 20) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += slice) slices.emplace_back(bytes.substr(at, slice));
  const grpc::ByteBuffer buffer(slices.data(), slices.size());
  return CheckWireLimits(buffer, *type, LimitsOfRequests(kContext));
}
absl::Status CheckEncode(const std::string& bytes, size_t slice = 1 << 20) {
  return Check(v1::EncodeRequest::descriptor(), bytes, slice);
}
void ExpectRefused(const absl::Status& status, const std::string& field, const std::string& text) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(FieldOf(status).value_or(""), field) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}
std::string Times(size_t count, const std::string& text) {
  std::string all;
  for (size_t i = 0; i < count; ++i) all += text;
  return all;
}

// The rule behind all others: a repeated field of a request that nobody has bounded fails here.
TEST(WireLimitsTest, EveryRepeatedFieldOfEveryRequestHasALimit) {
  const WireLimits limits = LimitsOfRequests(kContext);
  std::set<std::string> found;
  std::vector<const Descriptor*> open;
  for (const auto* file :
       {v1::EncodeRequest::descriptor()->file(), tei::v1::EmbedRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m)
        open.push_back(file->service(s)->method(m)->input_type());
    }
  }
  ASSERT_GT(open.size(), 20u);
  std::set<const Descriptor*> seen(open.begin(), open.end());
  while (!open.empty()) {
    const Descriptor* type = open.back();
    open.pop_back();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (field->is_repeated()) found.insert(field->full_name());
      if (field->message_type() != nullptr && seen.insert(field->message_type()).second)
        open.push_back(field->message_type());
    }
  }
  std::set<std::string> rows;
  for (const WireLimit& limit : limits) {
    EXPECT_GT(limit.max, 0) << limit.field;
    rows.insert(std::string(limit.field));
  }
  EXPECT_EQ(found, rows) << "server/wire/wire_limits.cc, LimitsOfRequests";
}

TEST(WireLimitsTest, ARepeatedFieldWithoutARow_IsRefused) {
  v1::EncodeRequest request;
  request.add_inputs()->set_text("text");
  const std::string bytes = request.SerializeAsString();
  const grpc::Slice slice(bytes);
  ExpectRefused(CheckWireLimits(grpc::ByteBuffer(&slice, 1), *v1::EncodeRequest::descriptor(), {}),
                "inputs", "no limit");
}

TEST(WireLimitsTest, RequestsWithinTheLimitsPass_HoweverTheyAreSliced) {
  v1::EncodeRequest request;
  for (int i = 0; i < 4; ++i) {
    v1::Input* input = request.add_inputs();
    input->set_id(std::string(200, 'i'));
    for (int id = 0; id < 100; ++id) input->mutable_token_ids()->add_ids(1000 * id);
    for (int span = 0; span < 20; ++span) input->add_spans()->set_end(span);
    for (int span = 0; span < 20; ++span) input->add_global_attention_spans()->set_begin(span);
    for (int at = 0; at < 100; ++at) input->add_global_token_positions(at);
  }
  request.mutable_options()->set_prompt_name("prompt");
  request.mutable_options()->set_hash_seed(uint64_t{1} << 63);
  const std::string bytes = request.SerializeAsString();
  for (const size_t slice : {1, 2, 3, 7, 1 << 20})
    EXPECT_TRUE(CheckEncode(bytes, slice).ok()) << CheckEncode(bytes, slice);
}

TEST(WireLimitsTest, OneBeyondALimit_NamesTheField_WhatWasGotAndWhatIsAllowed) {
  v1::EncodeRequest request;
  for (int i = 0; i < 5; ++i) request.add_inputs()->set_text("t");
  ExpectRefused(CheckEncode(request.SerializeAsString()), "inputs",
                "inputs has 5 texts; allowed: 1 to 4");
  request.mutable_inputs()->DeleteSubrange(3, 2);
  for (int id = 0; id < 101; ++id) request.mutable_inputs(2)->mutable_token_ids()->add_ids(300);
  for (const size_t slice : {1, 3, 1 << 20}) {
    ExpectRefused(CheckEncode(request.SerializeAsString(), slice), "inputs[2].token_ids.ids",
                  "has 101 ids; allowed: at most 100");
  }
  v1::EncodeTokensRequest tokens;
  for (int at = 0; at < 101; ++at) tokens.mutable_input()->add_global_token_positions(1);
  ExpectRefused(Check(v1::EncodeTokensRequest::descriptor(), tokens.SerializeAsString()),
                "input.global_token_positions", "are 101; allowed: at most 100");
  v1::TokenizeRequest texts;
  for (int i = 0; i < 5; ++i) texts.add_texts("");
  ExpectRefused(Check(v1::TokenizeRequest::descriptor(), texts.SerializeAsString()), "texts",
                "has 5 texts; allowed: 1 to 4");
  v1::PutDocumentsRequest put;
  for (int i = 0; i < 5; ++i) put.add_documents();
  ExpectRefused(Check(v1::PutDocumentsRequest::descriptor(), put.SerializeAsString()), "documents",
                "has 5 texts; allowed: 1 to 4");
  v1::DeleteDocumentsRequest deleted;
  for (int i = 0; i < 10'000; ++i) deleted.add_ids("");
  const Descriptor* type = v1::DeleteDocumentsRequest::descriptor();
  EXPECT_TRUE(Check(type, deleted.SerializeAsString()).ok());
  deleted.add_ids("");
  ExpectRefused(Check(type, deleted.SerializeAsString()), "ids",
                "ids are 10001; allowed: 1 to 10000");
}

// Two bytes each: an empty input is field 1, an empty span of an input field 6.
TEST(WireLimitsTest, MillionsOfEmptyMessages_AreCountedExactly) {
  ExpectRefused(CheckEncode(Times(2'000'000, std::string("\x0a\x00", 2))), "inputs",
                "has 2000000 texts");
  v1::EncodeStreamRequest request;
  for (int i = 0; i < 70'000; ++i) request.mutable_input()->add_spans();
  ExpectRefused(Check(v1::EncodeStreamRequest::descriptor(), request.SerializeAsString()),
                "input.spans", "are 70000; allowed: at most 65536");
}

// protobuf merges what occurs twice: each half is within the limit.
TEST(WireLimitsTest, AMessageThatIsSentInHalves_CountsAsOne) {
  v1::EncodeTokensRequest half;
  for (int id = 0; id < 60; ++id) half.mutable_input()->mutable_token_ids()->add_ids(1);
  const std::string bytes = half.SerializeAsString();
  EXPECT_TRUE(Check(v1::EncodeTokensRequest::descriptor(), bytes).ok());
  ExpectRefused(Check(v1::EncodeTokensRequest::descriptor(), bytes + bytes), "input.token_ids.ids",
                "has 120 ids");
}

TEST(WireLimitsTest, NumbersThatAreNotPacked_CountTheSame) {
  // TokenIds.ids, field 1, as varints one by one, and as 32-bit numbers, which the parser keeps as
  // unknown fields.
  const std::string ids = Times(101, std::string("\x08\x01", 2));
  const std::string token_ids = std::string("\x1a\xca\x01", 3) + ids;  // Input.token_ids, 202 bytes
  const std::string input = std::string("\x0a\xcd\x01", 3) + token_ids;
  ExpectRefused(CheckEncode(input), "inputs[0].token_ids.ids", "has 101 ids");
  ExpectRefused(CheckEncode(Times(1025, std::string("\x0d\x01\x00\x00\x00", 5))), "",
                "more than 1024 fields that this server does not know");
}

TEST(WireLimitsTest, UnknownFieldsCount_AlsoInsideGroupsAndInputs) {
  const std::string unknown("\xf8\x07\x01", 3);  // field 127
  EXPECT_TRUE(CheckEncode(Times(1024, unknown)).ok());
  ExpectRefused(CheckEncode(Times(1025, unknown)), "", "does not know");
  // Field 126 as a group, which has an end of its own.
  ExpectRefused(CheckEncode("\xf3\x07" + Times(1024, unknown) + "\xf4\x07"), "", "does not know");
  ExpectRefused(CheckEncode(Times(33, "\xf3\x07")), "", "nests groups");
  ExpectRefused(CheckEncode(Times(1025, "\x0a\x03" + unknown)), "", "does not know");
}

TEST(WireLimitsTest, AllMessagesTogetherAreBounded) {
  v1::EncodeRequest request;
  // 16 inputs of 65,536 spans would be allowed one by one.
  std::string input;
  for (int i = 0; i < 65'536; ++i) input += std::string("\x32\x00", 2);
  std::string bytes;
  for (int i = 0; i < 17; ++i)
    bytes += std::string("\x0a\x80\x80\x08", 4) + input;  // 131,072 bytes
  const grpc::Slice slice(bytes);
  DecodingContext context = kContext;
  context.max_texts_per_request = 128;
  const absl::Status status = CheckWireLimits(
      grpc::ByteBuffer(&slice, 1), *v1::EncodeRequest::descriptor(), LimitsOfRequests(context));
  ExpectRefused(status, "", "1114129 messages inside");
}

// The parser would keep the last one, and drop the other without a word.
TEST(WireLimitsTest, ATextAndTokenIds_AreRefused_InEveryRequest_InEitherOrder) {
  const std::string text("\x12\x01t", 3), ids("\x1a\x02\x08\x01", 4), empty("\x1a\x00", 2);
  for (const std::string& both : {text + ids, ids + text, text + empty, empty + text}) {
    const std::string input = std::string("\x0a") + static_cast<char>(both.size()) + both;
    for (const size_t slice : {1, 1 << 20})
      ExpectRefused(CheckEncode(input, slice), "inputs[0]", "; allowed: one of them");
    for (const Descriptor* type :
         {v1::EncodeStreamRequest::descriptor(), v1::EncodeTokensRequest::descriptor()})
      ExpectRefused(Check(type, input), "input", "; allowed: one of them");
  }
  ExpectRefused(CheckEncode("\x0a\x07" + text + ids), "inputs[0]", "has text and token_ids");
  // An input that is sent in two parts is merged, and so is its content.
  ExpectRefused(Check(v1::EncodeStreamRequest::descriptor(), "\x0a\x03" + text + "\x0a\x04" + ids),
                "input", "has text and token_ids");
  // Of two inputs each may have its own.
  EXPECT_TRUE(CheckEncode("\x0a\x03" + text + "\x0a\x04" + ids).ok());
}

TEST(WireLimitsTest, ATextThatIsGivenTwice_IsRefused_WhatIsMergedIsNot) {
  const std::string text("\x12\x01t", 3), ids("\x1a\x02\x08\x01", 4);
  ExpectRefused(CheckEncode("\x0a\x06" + text + text), "inputs[0].text",
                "is given 2 times; allowed: once");
  tei::v1::EmbedRequest embed;
  embed.set_inputs("a text");
  const std::string bytes = embed.SerializeAsString();
  EXPECT_TRUE(Check(tei::v1::EmbedRequest::descriptor(), bytes).ok());
  ExpectRefused(Check(tei::v1::EmbedRequest::descriptor(), bytes + bytes), "inputs",
                "is given 2 times");
  // Ids are merged, and options are replaced by those behind them, as protobuf has it.
  EXPECT_TRUE(CheckEncode("\x0a\x08" + ids + ids).ok());
  v1::EncodeRequest options;
  options.mutable_options()->set_pooling(v1::POOLING_MEAN);
  options.mutable_options()->set_normalize(true);
  EXPECT_TRUE(CheckEncode(options.SerializeAsString() + options.SerializeAsString()).ok());
}

TEST(WireLimitsTest, AnErrorOfAnInput_HasItsId) {
  v1::EncodeRequest request;
  request.add_inputs()->set_text("t");
  v1::Input* input = request.add_inputs();
  input->set_id("contract-17");
  for (int id = 0; id < 101; ++id) input->mutable_token_ids()->add_ids(1);
  for (const size_t slice : {1, 1 << 20}) {
    EXPECT_THAT(MessageForCaller(CheckEncode(request.SerializeAsString(), slice)),
                HasSubstr("inputs[1].token_ids.ids (id 'contract-17') has 101 ids"));
  }
}

// Nothing reaches the parser that the walk has not seen: also not behind a broken field.
TEST(WireLimitsTest, MalformedBytes_AreRefused) {
  for (const std::string bytes : {"\xff", "\x0a\x7f", "\x0a", "\x0f", "\x0c", "\x02\x01 "}) {
    ExpectRefused(CheckEncode(bytes), "", "not a valid longspan.v1.EncodeRequest message");
    ExpectRefused(CheckEncode("\x0a\x02\x32\x05" + bytes), "", "not a valid");
  }
  ExpectRefused(CheckEncode(std::string(1, '\0')), "", "not a valid");
  EXPECT_TRUE(CheckEncode("").ok());
}

}  // namespace
}  // namespace longspan
