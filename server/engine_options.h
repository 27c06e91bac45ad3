// What the parts of the engine are told, made of the settings and of the model that is loaded: one
// function a part.
#pragma once

#include "server/batching/admission.h"
#include "server/batching/batch_scheduler.h"
#include "server/server_options.h"
#include "server/start/served_model.h"
#include "server/text/text_preparation.h"

namespace longspan {

AdmissionOptions AdmissionOf(const ServerOptions& options, const ServedModel& model);
BatchSchedulerOptions SchedulerOf(const ServerOptions& options, const ServedModel& model);
// Points to `model`, which is to outlive it.
PreparationContext PreparationOf(const ServerOptions& options, const ServedModel& model);

}  // namespace longspan
