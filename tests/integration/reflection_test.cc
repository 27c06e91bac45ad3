// gRPC reflection, both versions of the protocol. A client that has no .proto file finds services,
// files and symbols, and can build a request from them. It is off unless asked for, and closed
// without a key.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <grpc/reflection/v1/reflection.grpc.pb.h>
#include <grpc/reflection/v1alpha/reflection.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <set>
#include <vector>

#include "tests/integration/test_server.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLong = absl::Seconds(20);

struct V1 {
  using Service = grpc::reflection::v1::ServerReflection;
  using Request = grpc::reflection::v1::ServerReflectionRequest;
  using Response = grpc::reflection::v1::ServerReflectionResponse;
};
struct V1Alpha {
  using Service = grpc::reflection::v1alpha::ServerReflection;
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
};

template <typename Version>
class ReflectionTest : public ::testing::Test {
 protected:
  using Request = typename Version::Request;
  using Response = typename Version::Response;

  // One stream with all requests, in order.
  static std::vector<Response> Ask(const Client& client, const std::vector<Request>& requests,
                                   grpc::Status* status) {
    grpc::ClientContext context;
    client.Prepare(&context, kLong);
    const auto stream = Version::Service::NewStub(client.channel())->ServerReflectionInfo(&context);
    std::vector<Response> responses;
    for (const Request& request : requests) {
      Response response;
      if (!stream->Write(request) || !stream->Read(&response)) break;
      responses.push_back(response);
    }
    stream->WritesDone();
    *status = stream->Finish();
    return responses;
  }
  std::vector<Response> Ask(const std::vector<Request>& requests) {
    grpc::Status status;
    const std::vector<Response> responses = Ask(server_.client(), requests, &status);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(responses.size(), requests.size());
    return responses;
  }
  static Request Symbol(const std::string& name) {
    Request request;
    request.set_host("some.host");
    request.set_file_containing_symbol(name);
    return request;
  }
  static Request File(const std::string& name) {
    Request request;
    request.set_file_by_filename(name);
    return request;
  }

  TestServer server_{{}, {.reflection = true}};
};

using Versions = ::testing::Types<V1, V1Alpha>;
TYPED_TEST_SUITE(ReflectionTest, Versions);

TYPED_TEST(ReflectionTest, ListsServices) {
  typename TypeParam::Request request;
  request.set_list_services("*");
  std::set<std::string> names;
  const auto responses = this->Ask({request});
  for (const auto& service : responses.at(0).list_services_response().service())
    names.insert(service.name());
  EXPECT_THAT(names, testing::UnorderedElementsAre(
                         "longspan.v1.EncoderService", "grpc.health.v1.Health",
                         "grpc.reflection.v1.ServerReflection",
                         "grpc.reflection.v1alpha.ServerReflection", "tei.v1.Info", "tei.v1.Embed",
                         "tei.v1.Tokenize", "tei.v1.Predict", "tei.v1.Rerank"));
}

TYPED_TEST(ReflectionTest, FindsTheMethodsOfEveryService) {
  for (const char* method :
       {"tei.v1.Info.Info", "tei.v1.Embed.EmbedAllStream", "tei.v1.Tokenize.Decode",
        "tei.v1.Predict.PredictPair", "tei.v1.Rerank.Rerank"}) {
    const auto response = this->Ask({this->Symbol(method)}).at(0);
    google::protobuf::FileDescriptorProto file;
    ASSERT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1) << method;
    ASSERT_TRUE(file.ParseFromString(response.file_descriptor_response().file_descriptor_proto(0)));
    EXPECT_EQ(file.package(), "tei.v1");
  }
}

TYPED_TEST(ReflectionTest, ASymbolsFiles_BuildARequestThatTheServerAnswers) {
  const auto response = this->Ask({this->Symbol("longspan.v1.EncoderService.Encode")}).at(0);
  EXPECT_EQ(response.valid_host(), "some.host");
  EXPECT_EQ(response.original_request().file_containing_symbol(),
            "longspan.v1.EncoderService.Encode");
  // Knows nothing but what came. Each file's imports must come before it.
  google::protobuf::DescriptorPool pool;
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(bytes));
    ASSERT_NE(pool.BuildFile(file), nullptr) << file.name();
  }
  const google::protobuf::MethodDescriptor* method =
      pool.FindMethodByName("longspan.v1.EncoderService.Encode");
  ASSERT_NE(method, nullptr);
  google::protobuf::DynamicMessageFactory factory(&pool);
  const std::unique_ptr<google::protobuf::Message> request(
      factory.GetPrototype(method->input_type())->New());
  ASSERT_TRUE(request->ParseFromString(IdsRequest({{1, 2}}).SerializeAsString()));
  v1::EncodeRequest sent;
  ASSERT_TRUE(sent.ParseFromString(request->SerializeAsString()));
  EXPECT_TRUE(this->server_.client().Encode(sent, kLong).ok());
}

TYPED_TEST(ReflectionTest, AStreamGetsEachImportOnce_AndWhatItAsksForAgain) {
  const auto responses = this->Ask(
      {this->Symbol("longspan.v1.EncodeRequest"), this->Symbol("longspan.v1.EncodeRequest")});
  EXPECT_GT(responses[0].file_descriptor_response().file_descriptor_proto_size(), 1);
  ASSERT_EQ(responses[1].file_descriptor_response().file_descriptor_proto_size(), 1);
  const auto& first = responses[0].file_descriptor_response().file_descriptor_proto();
  EXPECT_EQ(responses[1].file_descriptor_response().file_descriptor_proto(0), *first.rbegin());
}

TYPED_TEST(ReflectionTest, FilesByName_AndExtensions) {
  typename TypeParam::Request numbers;
  numbers.set_all_extension_numbers_of_type("google.protobuf.MethodOptions");
  const auto responses = this->Ask({this->File("google/rpc/status.proto"), numbers});
  google::protobuf::FileDescriptorProto file;
  const auto& files = responses[0].file_descriptor_response().file_descriptor_proto();
  ASSERT_TRUE(file.ParseFromString(*files.rbegin()));
  EXPECT_EQ(file.name(), "google/rpc/status.proto");
  EXPECT_EQ(responses[1].all_extension_numbers_response().base_type_name(),
            "google.protobuf.MethodOptions");
}

TYPED_TEST(ReflectionTest, WhatIsUnknown_IsAnErrorInTheStream_WhichGoesOn) {
  typename TypeParam::Request extension, numbers, list;
  extension.mutable_file_containing_extension()->set_containing_type("longspan.v1.EncodeRequest");
  extension.mutable_file_containing_extension()->set_extension_number(77);
  numbers.set_all_extension_numbers_of_type("no.such.Type");
  list.set_list_services("");
  const auto responses = this->Ask(
      {this->Symbol("no.such.Symbol"), this->File("none.proto"), extension, numbers, {}, list});
  const std::vector<std::string> texts = {"symbol 'no.such.Symbol'", "file 'none.proto'",
                                          "extension 77 of 'longspan.v1.EncodeRequest'",
                                          "message type 'no.such.Type'"};
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(responses[i].error_response().error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(responses[i].error_response().error_message(), HasSubstr(texts[i]));
  }
  EXPECT_EQ(responses[4].error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_GT(responses[5].list_services_response().service_size(), 0);
}

TYPED_TEST(ReflectionTest, OffUnlessAskedFor) {
  TestServer plain;
  grpc::Status status;
  this->Ask(plain.client(), {this->Symbol("longspan.v1.EncodeRequest")}, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TYPED_TEST(ReflectionTest, AsksForAKey_WhereTheServerDoes) {
  const TemporaryFolder folder;
  TestServer server(
      {}, {.auth_keys_file = folder.WriteText("keys", "secret-one\n"), .reflection = true});
  grpc::Status status;
  this->Ask(server.client(), {this->Symbol("longspan.v1.EncodeRequest")}, &status);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const auto holder =
      *Client::Connect({.server = server.address(), .key = "secret-one", .retry = false});
  EXPECT_EQ(this->Ask(*holder, {this->Symbol("longspan.v1.EncodeRequest")}, &status).size(), 1u);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TYPED_TEST(ReflectionTest, AnIdleStream_DoesNotHoldADrain) {
  grpc::ClientContext context;
  this->server_.client().Prepare(&context, kLong);
  const auto stream =
      TypeParam::Service::NewStub(this->server_.client().channel())->ServerReflectionInfo(&context);
  typename TypeParam::Response response;
  ASSERT_TRUE(stream->Write(this->Symbol("longspan.v1.EncodeRequest")) && stream->Read(&response));
  const absl::Time start = absl::Now();
  EXPECT_TRUE(this->server_.server().Drain());
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace longspan
