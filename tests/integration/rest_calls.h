// Requests to the JSON routes of a TestServer.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "nlohmann/json.hpp"
#include "tests/http_caller.h"
#include "tests/integration/test_server.h"

namespace longspan {

using Json = nlohmann::json;

inline FakeModel RestModel() {
  FakeModel model;
  model.tokenizer_folder = LONGSPAN_FIXTURES "/tokenizers/bert-uncased";
  return model;
}

inline ServerOptions RestOptions() {
  ServerOptions options;
  options.http = "127.0.0.1:0";
  return options;
}

struct RestAnswer {
  int code = 0;
  Json body;  // discarded where it is not JSON
  HttpAnswer http;
};

inline RestAnswer AnswerOf(HttpAnswer http) {
  RestAnswer answer{.code = http.code,
                    .body = Json::parse(http.body, nullptr, /*allow_exceptions=*/false),
                    .http = std::move(http)};
  return answer;
}

// A connection of its own for each request.
inline RestAnswer PostBytes(TestServer& server, std::string_view path, std::string_view body,
                            std::string_view headers = "") {
  HttpCaller caller(server.server().http_port());
  return AnswerOf(caller.Post(path, body, headers));
}
inline RestAnswer Post(TestServer& server, std::string_view path, const Json& body,
                       std::string_view headers = "") {
  return PostBytes(server, path, body.dump(), headers);
}
inline RestAnswer Get(TestServer& server, std::string_view path) {
  HttpCaller caller(server.server().http_port());
  return AnswerOf(caller.Get(path));
}

}  // namespace longspan
