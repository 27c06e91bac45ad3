#include <iostream>
#include <memory>
#include <string>

#include "core/tools/commands.h"
#include "core/tools/inspect.h"

namespace longspan {

void AddInspectCommand(CLI::App& app) {
  struct Arguments {
    std::string model;
    std::string dtype = "float32";
    std::string device = "cpu";
    bool as_json = false, no_measure = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Architecture, layers and reach, parameters, memory by length, predicted speed");
  command->add_option("model", arguments->model, "model folder")->required();
  command
      ->add_option("--dtype", arguments->dtype, "float32, bfloat16, float16 (cards), int8 or auto")
      ->capture_default_str();
  command->add_option("--device", arguments->device, "cpu, cuda, cuda:N or auto")
      ->capture_default_str();
  command->add_flag("--json", arguments->as_json, "print JSON");
  command->add_flag("--no-measure", arguments->no_measure,
                    "skip the warm-up; tokens/s are predicted from the cost model that it "
                    "calibrates on this machine");
  command->callback([arguments] {
    const auto inspection =
        InspectModel(arguments->model, arguments->dtype, !arguments->no_measure, arguments->device);
    ExitUnlessOk(inspection.status());
    std::cout << (arguments->as_json ? inspection->dump(2) + "\n" : InspectionText(*inspection));
  });
}

}  // namespace longspan
