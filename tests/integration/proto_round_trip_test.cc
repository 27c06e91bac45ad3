// Every message of the API, with every field set, survives the wire in a process that has run
// LibTorch. LibTorch carries an older protobuf, and the two must not get into each other's way.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/encoder.h"
#include "longspan/v1/encoder.pb.h"

namespace longspan {
namespace {

// Sets every field to a value of its own, down to `depth` messages. Of a oneof it sets the member
// that `choice` picks, so that a few choices reach all members.
void FillEveryField(google::protobuf::Message* message, int depth, uint32_t choice,
                    uint32_t* count) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection* reflection = message->GetReflection();
  const google::protobuf::Descriptor* type = message->GetDescriptor();
  for (int f = 0; f < type->field_count(); ++f) {
    const FieldDescriptor* field = type->field(f);
    const google::protobuf::OneofDescriptor* oneof = field->real_containing_oneof();
    if (oneof != nullptr && oneof->field(static_cast<int>(choice) % oneof->field_count()) != field)
      continue;
    const bool repeated = field->is_repeated();
    for (int i = 0; i < (repeated ? 3 : 1); ++i) {
      const uint32_t n = ++*count;
      switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32:
          repeated ? reflection->AddInt32(message, field, -static_cast<int32_t>(n))
                   : reflection->SetInt32(message, field, -static_cast<int32_t>(n));
          break;
        case FieldDescriptor::CPPTYPE_INT64:
          repeated ? reflection->AddInt64(message, field, -int64_t{n} << 32)
                   : reflection->SetInt64(message, field, -int64_t{n} << 32);
          break;
        case FieldDescriptor::CPPTYPE_UINT32:
          repeated ? reflection->AddUInt32(message, field, ~n)
                   : reflection->SetUInt32(message, field, ~n);
          break;
        case FieldDescriptor::CPPTYPE_UINT64:
          repeated ? reflection->AddUInt64(message, field, ~uint64_t{n})
                   : reflection->SetUInt64(message, field, ~uint64_t{n});
          break;
        case FieldDescriptor::CPPTYPE_DOUBLE:
          repeated ? reflection->AddDouble(message, field, 1.0 / n)
                   : reflection->SetDouble(message, field, 1.0 / n);
          break;
        case FieldDescriptor::CPPTYPE_FLOAT:
          repeated ? reflection->AddFloat(message, field, 1.0f / static_cast<float>(n))
                   : reflection->SetFloat(message, field, 1.0f / static_cast<float>(n));
          break;
        case FieldDescriptor::CPPTYPE_BOOL:
          repeated ? reflection->AddBool(message, field, true)
                   : reflection->SetBool(message, field, true);
          break;
        case FieldDescriptor::CPPTYPE_ENUM: {
          const int last =
              field->enum_type()->value(field->enum_type()->value_count() - 1)->number();
          repeated ? reflection->AddEnumValue(message, field, last)
                   : reflection->SetEnumValue(message, field, last);
          break;
        }
        case FieldDescriptor::CPPTYPE_STRING: {
          const std::string text = absl::StrCat(
              field->type() == FieldDescriptor::TYPE_BYTES ? std::string("\0\xFF", 2) : "\u00e9",
              n);
          repeated ? reflection->AddString(message, field, text)
                   : reflection->SetString(message, field, text);
          break;
        }
        case FieldDescriptor::CPPTYPE_MESSAGE:
          if (depth == 0) break;
          FillEveryField(repeated ? reflection->AddMessage(message, field)
                                  : reflection->MutableMessage(message, field),
                         depth - 1, choice, count);
          break;
      }
    }
  }
}

// Every message of our protocols, nested ones included (map entries are filled through their maps).
void AddMessages(const google::protobuf::Descriptor* type,
                 std::vector<const google::protobuf::Descriptor*>* messages) {
  if (type->options().map_entry()) return;
  messages->push_back(type);
  for (int i = 0; i < type->nested_type_count(); ++i) AddMessages(type->nested_type(i), messages);
}

TEST(ProtoRoundTrip, EveryMessageWithEveryField_InAProcessThatHasRunLibTorch) {
  auto encoder = Encoder::Load(LONGSPAN_FIXTURES "/longformer-windows");
  ASSERT_TRUE(encoder.ok()) << encoder.status();
  TokenBatch batch;
  const std::vector<int32_t> ids = {52, 44, 17};
  batch.Add({.token_ids = ids});
  const std::vector<EncodeOptions> options(1);
  ASSERT_TRUE((*encoder)->Encode(batch, options)[0].ok());

  std::vector<const google::protobuf::Descriptor*> messages;
  const google::protobuf::FileDescriptor* file = v1::EncodeRequest::descriptor()->file();
  for (int i = 0; i < file->message_type_count(); ++i)
    AddMessages(file->message_type(i), &messages);
  EXPECT_GE(messages.size(), 20u);
  for (const google::protobuf::Descriptor* type : messages) {
    const google::protobuf::Message* prototype =
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
    for (uint32_t choice = 0; choice < 4; ++choice) {
      SCOPED_TRACE(absl::StrCat(type->full_name(), ", choice ", choice));
      const std::unique_ptr<google::protobuf::Message> message(prototype->New()),
          copy(prototype->New());
      uint32_t count = 0;
      FillEveryField(message.get(), /*depth=*/4, choice, &count);
      EXPECT_EQ(message->ByteSizeLong() > 0, type->field_count() > 0);
      ASSERT_TRUE(copy->ParseFromString(message->SerializeAsString()));
      EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*copy, *message))
          << copy->DebugString();
      EXPECT_EQ(copy->GetReflection()->GetUnknownFields(*copy).field_count(), 0);
    }
  }
}

}  // namespace
}  // namespace longspan
