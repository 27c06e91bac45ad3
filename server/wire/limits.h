// LimitsInForce: the numbers of Limits of the contract as names with values, so that the metrics
// show every one of them without a list of their own.
//
// A free function without state: thread safe.
#pragma once

#include <string>
#include <vector>

namespace longspan {

struct ModelInfo;
struct ServerOptions;

// A field of Limits that is a number.
struct NamedLimit {
  std::string name;  // the field's: "max_queue_tokens"
  double value = 0;
};
std::vector<NamedLimit> LimitsInForce(const ModelInfo& model, const ServerOptions& options);

}  // namespace longspan
