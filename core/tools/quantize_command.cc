#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "core/tools/commands.h"
#include "core/tools/quantize.h"

namespace longspan {

void AddQuantizeCommand(CLI::App& app) {
  struct Arguments {
    std::string source, output;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "quantize",
      "Linear weights to int8, for --dtype int8 or auto: the same results as quantizing at load");
  command->add_option("model", arguments->source, "model folder to read")->required();
  command->add_option("output", arguments->output, "model folder to write (new or empty)")
      ->required();
  command->callback([arguments] {
    const auto model = QuantizeModel(arguments->source, arguments->output);
    ExitUnlessOk(model.status());
    std::cout << absl::StreamFormat(
        "wrote %s: %d weights as int8, %.1f MiB instead of %.1f MiB\n", arguments->output,
        model->num_quantized, model->bytes_after / 1048576.0, model->bytes_before / 1048576.0);
  });
}

}  // namespace longspan
