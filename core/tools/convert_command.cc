#include <iostream>
#include <memory>
#include <string>

#include "core/tools/commands.h"
#include "core/tools/convert.h"

namespace longspan {

void AddConvertCommand(CLI::App& app) {
  struct Arguments {
    std::string source, output;
    ConvertOptions options;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "convert",
      "Dense BERT / RoBERTa / XLM-RoBERTa / MiniLM folder -> windowed Longformer layout");
  command->add_option("source", arguments->source, "model folder to read")->required();
  command->add_option("output", arguments->output, "model folder to write (new or empty)")
      ->required();
  command
      ->add_option("--window", arguments->options.window,
                   "attention window in tokens, both sides together (even)")
      ->capture_default_str();
  command
      ->add_option("--global", arguments->options.default_global_attention,
                   "global tokens of texts that do not fit: cls or none")
      ->capture_default_str();
  command->callback([arguments] {
    ExitUnlessOk(ConvertToWindowed(arguments->source, arguments->output, arguments->options));
    std::cout << "wrote " << arguments->output << "\n";
  });
}

}  // namespace longspan
