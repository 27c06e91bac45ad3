// The models that this library knows, in one explicit array. An architecture is added by one folder
// under core/models, one line here and one fixture (tests/fixtures).
#include <string>

#include "absl/strings/str_cat.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/bert/model.h"
#include "core/models/bigbird/model.h"
#include "core/models/led/model.h"
#include "core/models/longformer/model.h"
#include "core/models/model.h"
#include "core/models/modernbert/model.h"
#include "core/models/reformer/model.h"
#include "core/runtime/compute_threads.h"
#include "core/weights/int8_weights.h"

namespace longspan {
namespace {

struct Architecture {
  std::string_view model_type;
  absl::StatusOr<std::unique_ptr<EncoderModel>> (*load)(const ModelFolder& folder,
                                                        const Placement& placement);
};

constexpr Architecture kArchitectures[] = {
    {"longformer", LoadLongformer},  // sliding window and global tokens
    {"led", LoadLed},                // Longformer's attention in BART's encoder
    {"reformer", LoadReformer},      // local and hashed chunks, two streams, axial positions
    {"modernbert", LoadModernBert},  // windowed and dense layers in turn, rotary positions
    {"big_bird", LoadBigBird},       // blocks see the first, the last and their neighbours
    {"bert", LoadBert},              // dense
    {"roberta", LoadRoberta},        // dense, positions from the ids
    {"xlm-roberta", LoadRoberta},    // RoBERTa with another vocabulary
    {"camembert", LoadRoberta},      // RoBERTa with another vocabulary
};

}  // namespace

absl::StatusOr<std::unique_ptr<EncoderModel>> LoadEncoderModel(const ModelFolder& folder,
                                                               const Placement& placement) {
  // Packs its weights with the team that its passes have. Not every caller goes through Encoder.
  if (absl::Status joined = JoinComputeTeam(); !joined.ok()) return joined;
  if (placement.dtype != DataType::kInt8) {
    const absl::StatusOr<std::string> int8 = FindInt8Weights(folder.weight_files());
    if (!int8.ok()) return int8.status();
    if (!int8->empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          *int8, ": holds int8 weights; dtype is ", std::string(DataTypeName(placement.dtype)),
          "; allowed: int8, or load the folder that it was quantized from"));
    }
  }
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.model_type == folder.model_type()) return architecture.load(folder, placement);
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(architecture.model_type));
  }
  return absl::UnimplementedError(absl::StrCat(folder.transformer_path(),
                                               "/config.json: model_type is \"",
                                               folder.model_type(), "\"; known: ", known));
}

}  // namespace longspan
