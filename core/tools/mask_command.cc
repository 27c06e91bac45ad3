#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/tools/commands.h"
#include "core/tools/pattern_picture.h"

namespace longspan {
namespace {

// "0,8" gives {0, 8}, and "none" gives {}.
absl::StatusOr<std::vector<int32_t>> ParsePositions(const std::string& text) {
  std::vector<int32_t> positions;
  if (text == "none") return positions;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    int32_t position = 0;
    if (!absl::SimpleAtoi(part, &position))
      return absl::InvalidArgumentError(absl::StrCat(
          "global is '", text, "'; allowed: positions with commas between them (0,8), or none"));
    positions.push_back(position);
  }
  return positions;
}

absl::Status DrawMask(PatternRequest request, const std::string& globals,
                      const std::string& output) {
  const bool png = absl::EndsWith(output, ".png");
  if (!png && !absl::EndsWith(output, ".svg"))
    return absl::InvalidArgumentError(
        absl::StrCat("output is '", output, "'; allowed: a file name that ends in .svg or .png"));
  if (!globals.empty()) {
    auto positions = ParsePositions(globals);
    if (!positions.ok()) return positions.status();
    request.globals = *std::move(positions);
  }
  const auto recorded = RecordPatterns(request);
  if (!recorded.ok()) return recorded.status();
  const Drawing drawing = DrawPatterns(*recorded);
  return png ? WritePng(drawing, output) : WriteSvg(drawing, output);
}

}  // namespace

void AddMaskCommand(CLI::App& app) {
  struct Arguments {
    PatternRequest request;
    std::string globals, output;
  };
  auto arguments = std::make_shared<Arguments>();
  PatternRequest& request = arguments->request;
  CLI::App* command = app.add_subcommand(
      "mask",
      "Draw who sees whom: one panel for each kind of layer, from a forward pass of the model");
  command->add_option("model", request.model_dir, "model folder")->required();
  command->add_option("-o,--output", arguments->output, "picture to write: NAME.svg or NAME.png")
      ->required();
  command->add_option("--tokens", request.tokens,
                      "length of the text, at most 4096 [64, or all of --text]");
  command->add_option(
      "--text", request.text_file,
      "UTF-8 file; its tokens, or the first --tokens of them, special tokens included");
  command->add_option("--global", arguments->globals,
                      "positions of global tokens: 0,8 or none [the model's default]");
  command->add_option("--layer", request.layer, "draw this layer only, counted from 0");
  command->add_option("--head", request.head, "LSH: the head whose buckets are drawn")
      ->capture_default_str();
  command->add_option("--num-hashes", request.num_hashes,
                      "LSH: hash rounds, at most 8 [the model's]");
  command->callback([arguments] {
    ExitUnlessOk(DrawMask(arguments->request, arguments->globals, arguments->output));
    std::cout << "wrote " << arguments->output << "\n";
  });
}

}  // namespace longspan
