#include "server/start/start_report.h"

#include <cmath>

#include "core/error_details.h"

namespace longspan {
namespace {

void ReportComputeTeams(const ServerOptions& options, const ServedModel& model, Log* log,
                        Metrics* metrics) {
  Log::Fields measured = Log::Fields::array();
  for (const TeamSpeed& speed : model.team_speeds) {
    measured.push_back({{"replicas", speed.teams.replicas},
                        {"threads", speed.teams.threads},
                        {"tokens_per_second", std::round(speed.tokens_per_second)}});
  }
  log->Write(LogLevel::kInfo, "compute_teams",
             {{"replicas", options.replicas},
              {"threads", options.threads},
              {"chosen_by", !measured.empty() ? "measurement"
                            : model.on_card   ? "device"
                                              : "settings"},
              {"follow_load", model.teams_follow_load},
              {"measured", measured}});
  if (!model.thread_limit.empty()) {
    log->Write(LogLevel::kWarning, "threads_limited",
               {{"threads", options.threads}, {"cause", model.thread_limit}});
  }
  metrics->SetComputeTeams({static_cast<int>(options.replicas), static_cast<int>(options.threads)},
                           model.team_speeds);
}

// Where the passes run. An operator who left the choice to the server reads here what became of it.
void ReportDevice(const ServerOptions& options, const ServedModel& model, Log* log) {
  const DeviceMemory memory = model.device_memory ? model.device_memory() : DeviceMemory{};
  log->Write(LogLevel::kInfo, "device",
             {{"device", model.info.device},
              {"asked", options.device},
              {"dtype", DataTypeName(model.info.dtype)},
              {"max_batch_tokens", options.max_batch_tokens},
              {"total_bytes", memory.total_bytes},
              {"free_bytes", memory.free_bytes}});
  if (model.why_cpu.empty()) return;
  log->Write(LogLevel::kWarning, "device_fallback",
             {{"device", model.info.device},
              {"asked", options.device},
              {"reason", ShortMessage(model.why_cpu)}});
}

// What the longest text in force is and what sets it. --print-config cannot tell: the model's and
// the memory's bounds are known only now.
void ReportMemory(const ServerOptions& options, const ServedModel& model, Log* log,
                  Metrics* metrics) {
  const int64_t device_bytes = model.device_memory ? model.device_memory().total_bytes : 0;
  metrics->SetMemoryLimits(
      {.container = model.container_bytes, .tensors = model.tensor_bytes, .device = device_bytes});
  log->Write(LogLevel::kInfo, "text_limit",
             {{"max_tokens", MaxTokensInForce(options, model.info)},
              {"set_by", MaxTokensSetBy(options, model.info)},
              {"setting_tokens", options.max_tokens},
              {"model_tokens", model.info.max_tokens},
              {"memory_tokens", options.memory_max_tokens},
              {"pass_bytes", model.max_piece_bytes},
              {"tensor_bytes", model.tensor_bytes},
              {"container_bytes", model.container_bytes},
              {"device_bytes", device_bytes}});
}

// A model that gives vectors of tokens alone. Who meant to serve text vectors reads it here.
void ReportMultiVector(const MultiVector& model, const ModelInfo& info, Log* log) {
  log->Write(LogLevel::kInfo, "multi_vector_model",
             {{"token_dimensions", info.token_dimensions},
              {"query_tokens", model.expansion.has_value() ? model.expansion->length : 0},
              {"expansion_attended", model.expansion.has_value() && model.expansion->is_attended},
              {"skipped_tokens", model.skipped_ids.size()},
              {"document_length", model.document_length},
              {"served_by", "EncodeTokens"}});
}

}  // namespace

void ReportStart(const ServerOptions& options, const ServedModel& model, Log* log,
                 Metrics* metrics) {
  ReportDevice(options, model, log);
  ReportComputeTeams(options, model, log, metrics);
  ReportMemory(options, model, log, metrics);
  if (model.info.multi_vector.has_value())
    ReportMultiVector(*model.info.multi_vector, model.info, log);
  for (const std::string& warning : model.warnings)
    log->Write(LogLevel::kWarning, "model_folder", {{"warning", ShortMessage(warning)}});
}

}  // namespace longspan
