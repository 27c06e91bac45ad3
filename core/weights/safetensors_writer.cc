// WriteSafetensors, which safetensors_reader.h declares.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/weights/safetensors_header.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using NamedTensor = std::pair<const std::string, StoredTensor>;

// The widest types first, then by name. Then each tensor is aligned to its own type, without
// padding between them.
std::vector<const NamedTensor*> DataOrder(const std::map<std::string, StoredTensor>& tensors) {
  std::vector<const NamedTensor*> order;
  order.reserve(tensors.size());
  for (const NamedTensor& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return StoredTypeBytes(a->second.type) > StoredTypeBytes(b->second.type);
  });
  return order;
}

absl::Status CheckTensor(const std::string& name, const StoredTensor& tensor) {
  int64_t bytes = StoredTypeBytes(tensor.type);
  for (const int64_t size : tensor.shape) bytes *= size;
  if (bytes != static_cast<int64_t>(tensor.data.size())) {
    return absl::InvalidArgumentError(absl::StrCat("tensor \"", name, "\" has ", tensor.data.size(),
                                                   " bytes of data, its shape needs ", bytes));
  }
  if (!IsUtf8(name) || name == "__metadata__")
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" cannot be a tensor's name"));
  return absl::OkStatus();
}

std::string HeaderText(const std::vector<const NamedTensor*>& order,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const NamedTensor* tensor : order) {
    const size_t end = offset + tensor->second.data.size();
    header[tensor->first] = {{"dtype", StoredTypeName(tensor->second.type)},
                             {"shape", tensor->second.shape},
                             {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

bool WriteAll(std::FILE* file, const void* bytes, size_t size) {
  return size == 0 || std::fwrite(bytes, 1, size, file) == size;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path,
                              const std::map<std::string, StoredTensor>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  for (const auto& [name, tensor] : tensors) {
    if (absl::Status status = CheckTensor(name, tensor); !status.ok()) return status;
  }
  const std::string part = path + ".part";
  const auto failed = [&](const char* what) {
    absl::Status status =
        absl::InternalError(absl::StrCat(path, ": cannot be ", what, ": ", strerror(errno)));
    std::remove(part.c_str());
    return status;
  };
  std::FILE* file = std::fopen(part.c_str(), "wb");
  if (file == nullptr) return failed("created");
  const std::vector<const NamedTensor*> order = DataOrder(tensors);
  const std::string header = HeaderText(order, metadata);
  const uint64_t length = header.size();
  bool ok = WriteAll(file, &length, sizeof(length)) && WriteAll(file, header.data(), header.size());
  for (const NamedTensor* tensor : order)
    ok = ok && WriteAll(file, tensor->second.data.data(), tensor->second.data.size());
  ok = std::fclose(file) == 0 && ok;
  if (!ok) return failed("written");
  if (std::rename(part.c_str(), path.c_str()) != 0) return failed("renamed");
  return absl::OkStatus();
}

}  // namespace longspan
