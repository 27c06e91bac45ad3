// What a caller writes comes back in errors, logs and headers, and must not blow them up: every
// string of every request is driven with a megabyte, and the answer, its headers and the log stay
// small. The strings are found by reflection, so that one that is new is driven too.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpc/health/v1/health.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <tei/v1/tei.pb.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/server_process.h"
#include "tests/integration/test_server.h"
#include "tests/sanitizers/kept_memory.h"

namespace longspan {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr size_t kMegabyte = 1 << 20;
// gRPC's clients refuse more than 8 KiB of headers by default.
constexpr size_t kMostHeaderBytes = 8 << 10;
// A line of the log with all its fields.
constexpr size_t kMostLogBytes = 4 << 10;

// A megabyte of each kind of characters that grow somewhere on their way: in the JSON of the log,
// in the percent-encoding of grpc-message, in base64.
std::map<std::string, std::string> Megabytes() {
  const auto repeat = [](const std::string& text) {
    std::string all;
    while (all.size() < kMegabyte) all += text;
    return all;
  };
  return {{"letters", repeat("x")},
          {"percent signs", repeat("%")},
          {"control characters", repeat("\x01")},
          {"quotes and line breaks", repeat("'\"\\\n")},
          {"characters of four bytes", repeat("😀")}};
}

// Bytes of grpc-message on the wire.
size_t PercentEncoded(const std::string& message) {
  size_t bytes = 0;
  for (const char c : message) bytes += c >= 0x20 && c < 0x7f && c != '%' ? 1 : 3;
  return bytes;
}

// Every way to put `value` into one string of the message, with the path of that string. A field of
// a oneof takes the place of what was there.
void ForEachString(Message* message, const std::string& path, const std::string& value,
                   const std::function<void(const std::string& path)>& visit) {
  const auto& reflection = *message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->field(i);
    const std::string here = path + "." + field->name();
    const std::unique_ptr<Message> before(message->New());
    before->CopyFrom(*message);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      if (field->is_repeated()) {
        reflection.AddString(message, field, value);
      } else {
        reflection.SetString(message, field, value);
      }
      visit(here);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Message* inner = field->is_repeated()
                           ? reflection.FieldSize(*message, field) > 0
                                 ? reflection.MutableRepeatedMessage(message, field, 0)
                                 : reflection.AddMessage(message, field)
                           : reflection.MutableMessage(message, field);
      ForEachString(inner, here, value, visit);
    }
    message->CopyFrom(*before);
  }
}

class EchoTest : public ::testing::Test {
 protected:
  EchoTest() {
    fake_.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";
    fake_.prompts = {{"query", "query: "}, {std::string(300, 'p'), "p: "}};
    server_ = std::make_unique<TestServer>(
        fake_, ServerOptions{.max_queue_seconds = 1e6, .reflection = true});
  }
  size_t LogBytes() const {
    server_->log().Flush();
    absl::SleepFor(absl::Milliseconds(20));
    return std::filesystem::file_size(server_->log_path());
  }
  // Sends raw bytes; every answer is read.
  grpc::Status Send(const std::string& method, const std::string& request,
                    grpc::ClientContext* context, size_t* answered) {
    grpc::GenericStub stub(server_->client().channel());
    grpc::CompletionQueue queue;
    void* tag = nullptr;
    bool ok = false;
    const auto step = [&] { return queue.Next(&tag, &ok) && ok; };
    const auto call = stub.PrepareCall(context, method, &queue);
    call->StartCall(nullptr);
    step();
    const grpc::Slice slice(request);
    call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    step();
    for (grpc::ByteBuffer answer;; answer.Clear()) {
      call->Read(&answer, nullptr);
      if (!step()) break;
      *answered = std::max(*answered, answer.Length());
    }
    grpc::Status status;
    call->Finish(&status, nullptr);
    queue.Next(&tag, &ok);
    queue.Shutdown();
    while (queue.Next(&tag, &ok)) {
    }
    return status;
  }
  // One call, and the sizes of all that it left behind.
  void Drive(const std::string& method, const Message& request, const std::string& what) {
    SCOPED_TRACE(absl::StrCat(method, what));
    const size_t log_before = LogBytes();
    grpc::ClientContext context;
    server_->client().Prepare(&context, kLong);
    size_t answered = 0;
    const grpc::Status status = Send(method, request.SerializeAsString(), &context, &answered);
    EXPECT_NE(status.error_code(), grpc::StatusCode::INTERNAL) << status.error_message();
    EXPECT_NE(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_NE(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << status.error_message();
    size_t headers = PercentEncoded(status.error_message()) + 4 * status.error_details().size() / 3;
    for (const auto& [name, value] : context.GetServerTrailingMetadata())
      if (name != "grpc-status-details-bin") headers += name.size() + value.size() + 32;
    for (const auto& [name, value] : context.GetServerInitialMetadata())
      headers += name.size() + value.size() + 32;
    EXPECT_LT(headers, kMostHeaderBytes);
    EXPECT_LT(LogBytes() - log_before, kMostLogBytes);
    ++calls_;
    // What is refused is not sent back.
    if (!status.ok()) {
      EXPECT_EQ(answered, 0u);
    }
    if (absl::StrContains(what, ".id ")) {
      EXPECT_LT(answered, size_t{8} << 10);
    }
  }
  void DriveAll(const std::string& method, Message* request) {
    for (const auto& [kind, value] : Megabytes()) {
      ForEachString(request, "", value, [&](const std::string& path) {
        Drive(method, *request, absl::StrCat(path, " of ", kind));
      });
    }
  }

  FakeModel fake_;
  std::unique_ptr<TestServer> server_;
  int calls_ = 0;
};

TEST_F(EchoTest, EveryStringOfEveryRequest_LeavesLittleBehind) {
  const std::string service = "/longspan.v1.EncoderService/";
  v1::EncodeRequest encode;
  encode.add_inputs()->set_text("a text");
  DriveAll(service + "Encode", &encode);
  v1::EncodeStreamRequest stream;
  stream.mutable_input()->set_text("a text");
  DriveAll(service + "EncodeStream", &stream);
  v1::EncodeTokensRequest tokens;
  tokens.mutable_input()->set_text("a text");
  DriveAll(service + "EncodeTokens", &tokens);
  v1::TokenizeRequest tokenize;
  tokenize.add_texts("a text");
  tokenize.set_prompt_name("nobody");  // so that a text of a megabyte is not answered with tokens
  DriveAll(service + "Tokenize", &tokenize);
  tei::v1::EmbedRequest embed;
  embed.set_inputs("a text");
  DriveAll("/tei.v1.Embed/Embed", &embed);
  DriveAll("/tei.v1.Embed/EmbedStream", &embed);
  tei::v1::EncodeRequest to_tokens;
  to_tokens.set_inputs("a text");
  to_tokens.set_prompt_name("nobody");
  DriveAll("/tei.v1.Tokenize/Tokenize", &to_tokens);
  DriveAll("/tei.v1.Tokenize/TokenizeStream", &to_tokens);
  EXPECT_GE(calls_, 5 * (3 + 3 + 3 + 2 + 2 + 2 + 2 + 2));
}

TEST_F(EchoTest, NamesThatAreAskedOfHealth_AreNotSentBackNorHeld) {
  for (const auto& [kind, value] : Megabytes()) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(value);
    Drive("/grpc.health.v1.Health/Check", request, ".service of " + kind);
    // An unknown name's Watch stays open; one of a megabyte must not hold it.
    Drive("/grpc.health.v1.Health/Watch", request, ".service of " + kind);
  }
}

TEST_F(EchoTest, MetadataOfACall_IsNotRepeated) {
  const size_t before = LogBytes();
  grpc::ClientContext context;
  server_->client().Prepare(&context, kLong);
  for (const char* name : {"x-request-id", "traceparent", "authorization"})
    context.AddMetadata(name, std::string(6000, 'm'));
  v1::EncodeResponse response;
  const grpc::Status status =
      server_->client().stub().Encode(&context, IdsRequest({{1}}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_LT(LogBytes() - before, kMostLogBytes);
}

TEST_F(EchoTest, AnIdThatIsTooLong_IsRefusedByItsField_AndOneThatFitsComesBack) {
  v1::EncodeRequest request = IdsRequest({{1, 2}});
  request.mutable_inputs(0)->set_id(std::string(4096, 'i'));
  const RawResult fits = CallEncode(server_->client(), request);
  ASSERT_TRUE(fits.status.ok()) << fits.status.error_message();
  EXPECT_EQ(fits.response.encodings(0).id(), request.inputs(0).id());
  request.mutable_inputs(0)->set_id(std::string(4097, 'i'));
  const RawResult too_long = CallEncode(server_->client(), request);
  EXPECT_EQ(too_long.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(too_long.field, "inputs[0].id");
  EXPECT_EQ(too_long.reason, "MAX_ID_BYTES");
}

// A batch of requests with prompt names of 10 MB left 2 GB behind: each name stood in the error, in
// its details and in lines of the log that waited to be written.
TEST(EchoProcessTest, PromptNamesOfTenMegabytes_LeaveNoMemoryBehind) {
  ServerProcess process({"--model", LONGSPAN_FIXTURES "/longformer-windows", "--drain-delay", "0",
                         "--log-level", "info"});
  const int port = process.Port();
  ASSERT_GT(port, 0);
  const auto client = *Client::Connect({.server = absl::StrCat("127.0.0.1:", port)});
  v1::EncodeRequest request = IdsRequest({{52, 44}});
  ASSERT_TRUE(client->Encode(request, kLong).ok());
  const int64_t before = process.ResidentBytes();
  request.mutable_options()->set_prompt_name(std::string(10 << 20, 'p'));
  for (int i = 0; i < 40; ++i) {
    const auto refused = client->Encode(request, kLong);
    ASSERT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument) << refused.status();
    EXPECT_LT(refused.status().message().size(), 1500u);
  }
  EXPECT_LT(process.ResidentBytes() - before, (128 + kKeptMiB) << 20);
}

}  // namespace
}  // namespace longspan
