// Any texts as the JSON files of a model folder: ModelFolder::Open reads them, or refuses them in
// one line. The input is cut at bytes 0x1E into config.json, modules.json, 1_Pooling/config.json,
// 2_Dense/config.json, config_sentence_transformers.json, sentence_bert_config.json,
// tokenizer_config.json and model.safetensors.index.json. Where a part is empty, that file is
// absent.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/checkpoint/model_folder.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {
namespace {

constexpr std::array<const char*, 8> kFiles = {"config.json",
                                               "modules.json",
                                               "1_Pooling/config.json",
                                               "2_Dense/config.json",
                                               "config_sentence_transformers.json",
                                               "sentence_bert_config.json",
                                               "tokenizer_config.json",
                                               "model.safetensors.index.json"};

// A folder that belongs to this process, with weights that are valid but empty.
const std::string& Folder() {
  static const std::string& folder = *[] {  // never destroyed: the clean-up at exit still reads it
    const std::string root = std::filesystem::exists("/dev/shm")
                                 ? "/dev/shm"
                                 : std::filesystem::temp_directory_path().string();
    std::string path = root + "/longspan_model_folder_fuzz." + std::to_string(getpid());
    for (const char* sub : {"/1_Pooling", "/2_Dense"})
      std::filesystem::create_directories(path + sub);
    std::atexit([] { std::filesystem::remove_all(Folder()); });
    return new std::string(path);
  }();
  return folder;
}

void WriteParts(std::string_view input) {
  for (const char* file : kFiles) {
    const std::string_view part = input.substr(0, input.find('\x1E'));
    input.remove_prefix(std::min(input.size(), part.size() + 1));
    const std::string path = Folder() + "/" + file;
    std::filesystem::remove(path);
    if (!part.empty()) std::ofstream(path, std::ios::binary) << part;
  }
  for (const char* weights :
       {"/model.safetensors", "/2_Dense/model.safetensors", "/s.safetensors"}) {
    const bool sharded = std::filesystem::exists(Folder() + "/model.safetensors.index.json");
    const std::string path = Folder() + weights;
    if (weights == std::string_view("/model.safetensors") && sharded) {
      std::filesystem::remove(path);
    } else if (!std::filesystem::exists(path)) {
      if (!WriteSafetensors(path, {}).ok()) std::abort();
    }
  }
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::WriteParts({reinterpret_cast<const char*>(bytes), size});
  const auto folder = longspan::ModelFolder::Open(longspan::Folder());
  if (folder.ok()) {
    if (folder->pooling().empty() || folder->weight_files().empty()) std::abort();
    if (folder->max_seq_length().value_or(1) < 1 || folder->truncate_dim().value_or(1) < 1)
      std::abort();
  } else if (folder.status().message().find('\n') != absl::string_view::npos) {
    std::abort();
  }
  return 0;
}
