#include "server/rest/json_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string NamesOf(const Descriptor& type) {
  std::vector<std::string> names;
  names.reserve(type.field_count());
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  return QuotedNames(names);
}

const FieldDescriptor* FindField(const Descriptor& type, const std::string& name) {
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->json_name() == name || type.field(i)->name() == name) return type.field(i);
  }
  return nullptr;
}

class MessageReader {
 public:
  explicit MessageReader(IgnoredFields* ignored) : ignored_(ignored) {}

  absl::Status Read(JsonValue json, const std::string& path, Message* message) {
    if (!json.is_object()) return Refuse(path, json, "an object");
    const Descriptor& type = *message->GetDescriptor();
    std::set<const FieldDescriptor*> seen;
    for (auto& [name, value] : json.members()) {
      const FieldDescriptor* field = FindField(type, name);
      const std::string inner = Join(path, field == nullptr ? name : field->name());
      if (field == nullptr) {
        if (absl::Status status = ignored_->Add(inner, NamesOf(type)); !status.ok()) return status;
        continue;
      }
      if (value.is_null()) continue;
      if (absl::Status status = CheckOnce(*field, inner, &seen); !status.ok()) return status;
      absl::Status status = field->is_repeated()
                                ? ReadList(std::move(value), inner, *field, message)
                                : ReadOne(std::move(value), inner, *field, message);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  static std::string Join(const std::string& path, const std::string& name) {
    return path.empty() ? name : absl::StrCat(path, ".", name);
  }
  static absl::Status Refuse(const std::string& path, const JsonValue& value,
                             const std::string& allowed) {
    if (path.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the body is ", std::string(value.KindName()), "; allowed: ", allowed));
    }
    return InvalidField(path, absl::StrCat(value.Got(), "; allowed: ", allowed));
  }

  static absl::Status CheckOnce(const FieldDescriptor& field, const std::string& path,
                                std::set<const FieldDescriptor*>* seen) {
    if (!seen->insert(&field).second)
      return InvalidField(path, "comes twice, by both its names; allowed: once");
    const auto* choice = field.real_containing_oneof();
    if (choice == nullptr) return absl::OkStatus();
    for (int i = 0; i < choice->field_count(); ++i) {
      const FieldDescriptor* other = choice->field(i);
      if (other == &field || !seen->contains(other)) continue;
      return InvalidField(path, absl::StrCat("is given together with ", other->name(),
                                             "; allowed: one of the two"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadList(JsonValue json, const std::string& path, const FieldDescriptor& field,
                        Message* message) {
    if (!json.is_array()) return Refuse(path, json, "an array");
    const Reflection& reflection = *message->GetReflection();
    if (json.kind() == JsonValue::Kind::kIds &&
        field.cpp_type() == FieldDescriptor::CPPTYPE_UINT32) {
      for (const uint32_t id : json.ids()) reflection.AddUInt32(message, &field, id);
      return absl::OkStatus();
    }
    if (json.kind() == JsonValue::Kind::kIds)
      return InvalidField(absl::StrCat(path, "[0]"),
                          absl::StrCat("is a number; allowed: ", TypeName(field)));
    std::vector<JsonValue>& elements = json.elements();
    for (size_t i = 0; i < elements.size(); ++i) {
      const std::string inner = absl::StrCat(path, "[", i, "]");
      if (absl::Status status = AddOne(std::move(elements[i]), inner, field, message); !status.ok())
        return status;
    }
    return absl::OkStatus();
  }

  absl::Status AddOne(JsonValue json, const std::string& path, const FieldDescriptor& field,
                      Message* message) {
    const Reflection& reflection = *message->GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Read(std::move(json), path, reflection.AddMessage(message, &field));
      case FieldDescriptor::CPPTYPE_STRING:
        if (!json.is_string()) return Refuse(path, json, TypeName(field));
        reflection.AddString(message, &field, std::move(json.string()));
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_UINT32: {
        uint64_t number = 0;
        if (!ReadNumber(json, UINT32_MAX, &number)) return Refuse(path, json, TypeName(field));
        reflection.AddUInt32(message, &field, static_cast<uint32_t>(number));
        return absl::OkStatus();
      }
      default:
        return absl::InternalError(absl::StrCat(path, " has a type that requests do not have"));
    }
  }

  absl::Status ReadOne(JsonValue json, const std::string& path, const FieldDescriptor& field,
                       Message* message) {
    const Reflection& reflection = *message->GetReflection();
    uint64_t number = 0;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Read(std::move(json), path, reflection.MutableMessage(message, &field));
      case FieldDescriptor::CPPTYPE_STRING:
        if (!json.is_string()) return Refuse(path, json, TypeName(field));
        reflection.SetString(message, &field, std::move(json.string()));
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!json.is_bool()) return Refuse(path, json, TypeName(field));
        reflection.SetBool(message, &field, json.boolean());
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_UINT32:
        if (!ReadNumber(json, UINT32_MAX, &number)) return Refuse(path, json, TypeName(field));
        reflection.SetUInt32(message, &field, static_cast<uint32_t>(number));
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_UINT64:
        if (!ReadNumber(json, UINT64_MAX, &number)) return Refuse(path, json, TypeName(field));
        reflection.SetUInt64(message, &field, number);
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (!json.is_number()) return Refuse(path, json, TypeName(field));
        reflection.SetDouble(message, &field, json.number());
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadEnum(json, path, field, message);
      default:
        return absl::InternalError(absl::StrCat(path, " has a type that requests do not have"));
    }
  }

  static absl::Status ReadEnum(const JsonValue& json, const std::string& path,
                               const FieldDescriptor& field, Message* message) {
    const auto& type = *field.enum_type();
    const auto* value = json.is_string() ? type.FindValueByName(json.string()) : nullptr;
    if (json.kind() == JsonValue::Kind::kUnsigned && json.unsigned_number() <= INT32_MAX)
      value = type.FindValueByNumber(static_cast<int>(json.unsigned_number()));
    if (value == nullptr) {
      std::vector<std::string> names;
      names.reserve(type.value_count());
      for (int i = 0; i < type.value_count(); ++i) names.push_back(type.value(i)->name());
      return Refuse(path, json, QuotedNames(names));
    }
    message->GetReflection()->SetEnum(message, &field, value);
    return absl::OkStatus();
  }

  // A whole number of 0 to `most`, as a number or as a string of digits.
  static bool ReadNumber(const JsonValue& json, uint64_t most, uint64_t* number) {
    if (json.is_string()) {
      const std::string& text = json.string();
      const bool digits =
          !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
      return digits && absl::SimpleAtoi(text, number) && *number <= most;
    }
    if (json.kind() != JsonValue::Kind::kUnsigned) return false;
    *number = json.unsigned_number();
    return *number <= most;
  }

  static std::string TypeName(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return "an object";
      case FieldDescriptor::CPPTYPE_STRING:
        return "a string";
      case FieldDescriptor::CPPTYPE_BOOL:
        return "true or false";
      case FieldDescriptor::CPPTYPE_UINT32:
        return "a whole number of 0 to 4294967295";
      case FieldDescriptor::CPPTYPE_UINT64:
        return "a whole number of 0 to 18446744073709551615";
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return "a number";
      default:
        return field.cpp_type_name();
    }
  }

  IgnoredFields* const ignored_;
};

}  // namespace

absl::Status ReadMessage(JsonValue json, Message* message, IgnoredFields* ignored) {
  return MessageReader(ignored).Read(std::move(json), "", message);
}

std::string WriteMessage(const Message& message, bool all_fields) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = all_fields;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : "{}";
}

}  // namespace longspan
