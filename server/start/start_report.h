// ReportStart: what became of the settings that the server was left to decide, for whoever reads
// the log and the metrics: the device, how the cores are divided, how long a text may be and why,
// and what the model's folder holds that an operator should know.
//
// A free function, called once by Server::Start.
#pragma once

#include "server/server_options.h"
#include "server/start/served_model.h"
#include "server/telemetry/log.h"
#include "server/telemetry/metrics.h"

namespace longspan {

void ReportStart(const ServerOptions& options, const ServedModel& model, Log* log,
                 Metrics* metrics);

}  // namespace longspan
