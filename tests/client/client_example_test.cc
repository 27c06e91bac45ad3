// Compiles and runs the example that opens client/client.h. The last test compares the two texts,
// so that neither can change without the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/client.h"
#include "tests/client/fake_server.h"

namespace longspan {
namespace {

using testing::ElementsAre;

// [example
absl::StatusOr<v1::Vector> VectorOf(const std::string& server, const std::string& text) {
  const auto client = Client::Connect({.server = server});
  if (!client.ok()) return client.status();
  v1::EncodeRequest request;
  request.add_inputs()->set_text(text);
  const auto response = (*client)->Encode(request, absl::Seconds(60));
  if (!response.ok()) return response.status();
  return response->encodings(0).vector();
}
// example]

TEST(ClientExampleTest, GivesTheVectorOfItsText) {
  FakeServer server;
  server.set_on_encode([](int, grpc::ServerContext*, const v1::EncodeRequest& request,
                          v1::EncodeResponse* response) {
    v1::Vector* vector = response->add_encodings()->mutable_vector();
    vector->add_values(static_cast<float>(request.inputs(0).text().size()));
    vector->add_values(0.5f);
    return grpc::Status::OK;
  });
  const absl::StatusOr<v1::Vector> vector = VectorOf(server.address(), "seven b");
  ASSERT_TRUE(vector.ok()) << vector.status();
  EXPECT_THAT(vector->values(), ElementsAre(7.0f, 0.5f));
}

TEST(ClientExampleTest, ReturnsTheServersError) {
  FakeServer server;
  server.set_on_encode(
      [](int, grpc::ServerContext*, const v1::EncodeRequest&, v1::EncodeResponse*) {
        return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "9120 tokens; at most 4096");
      });
  const absl::StatusOr<v1::Vector> vector = VectorOf(server.address(), "text");
  EXPECT_EQ(vector.status(), absl::InvalidArgumentError("9120 tokens; at most 4096"));
}

std::vector<std::string> Lines(const std::string& path) {
  std::ifstream file(std::string(LONGSPAN_SOURCE_DIR) + "/" + path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

TEST(ClientExampleTest, IsTheOneInTheHeader) {
  // The header's example is the part of its first comment that is indented by three blanks.
  constexpr std::string_view kIndent = "//   ";
  std::vector<std::string> header;
  for (const std::string& line : Lines("client/client.h")) {
    if (line.starts_with(kIndent)) header.push_back(line.substr(kIndent.size()));
    if (line == "#pragma once") break;
  }
  std::vector<std::string> compiled;
  bool inside = false;
  for (const std::string& line : Lines("tests/client/client_example_test.cc")) {
    if (line == "// example]") inside = false;
    if (inside) compiled.push_back(line);
    if (line == "// [example") inside = true;
  }
  EXPECT_FALSE(compiled.empty());
  EXPECT_EQ(header, compiled);
}

}  // namespace
}  // namespace longspan
