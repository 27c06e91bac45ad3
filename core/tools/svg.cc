#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/tools/drawing.h"

namespace longspan {
namespace {

// The number with at most two decimals, and without zeros at their end.
std::string Number(double value) {
  std::string text = absl::StrFormat("%.2f", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

struct Writer {
  std::string& out;

  void operator()(const Drawing::Box& box) const {
    absl::StrAppend(&out, "<rect x=\"", Number(box.x), "\" y=\"", Number(box.y), "\" width=\"",
                    Number(box.width), "\" height=\"", Number(box.height), "\" fill=\"", box.fill,
                    "\"");
    if (box.radius > 0) absl::StrAppend(&out, " rx=\"", Number(box.radius), "\"");
    if (!box.border.empty()) absl::StrAppend(&out, " stroke=\"", box.border, "\"");
    absl::StrAppend(&out, "/>\n");
  }
  void operator()(const Drawing::Cells& cells) const {
    absl::StrAppend(&out, "<path transform=\"translate(", Number(cells.x), " ", Number(cells.y),
                    ") scale(", absl::StrFormat("%.5g %.5g", cells.scale_x, cells.scale_y),
                    ")\" fill=\"", cells.fill, "\" shape-rendering=\"crispEdges\" d=\"");
    for (const Drawing::Cells::Run& run : cells.runs) {
      absl::StrAppend(&out, "M", run.column, " ", run.row, "h", run.columns, "v", run.rows, "h-",
                      run.columns, "z");
    }
    absl::StrAppend(&out, "\"/>\n");
  }
  void operator()(const Drawing::Lines& lines) const {
    absl::StrAppend(&out, "<path fill=\"none\" stroke=\"", lines.color, "\" stroke-width=\"",
                    Number(lines.width), "\" d=\"");
    for (const Drawing::Line& line : lines.lines) {
      absl::StrAppend(&out, "M", Number(line.x1), " ", Number(line.y1), "L", Number(line.x2), " ",
                      Number(line.y2));
    }
    absl::StrAppend(&out, "\"/>\n");
  }
  void operator()(const Drawing::Text& text) const {
    absl::StrAppend(&out, "<text x=\"", Number(text.x), "\" y=\"", Number(text.y),
                    "\" font-size=\"", Number(text.size), "\" fill=\"", text.color, "\"");
    if (text.anchor == Drawing::Anchor::kMiddle) absl::StrAppend(&out, " text-anchor=\"middle\"");
    if (text.anchor == Drawing::Anchor::kEnd) absl::StrAppend(&out, " text-anchor=\"end\"");
    if (text.bold) absl::StrAppend(&out, " font-weight=\"bold\"");
    if (text.upright)
      absl::StrAppend(&out, " transform=\"rotate(-90 ", Number(text.x), " ", Number(text.y), ")\"");
    absl::StrAppend(&out, ">", Escape(text.content), "</text>\n");
  }
};

}  // namespace

std::string ToSvg(const Drawing& drawing) {
  const std::string width = Number(drawing.width), height = Number(drawing.height);
  std::string out =
      absl::StrCat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"",
                   height, "\" viewBox=\"0 0 ", width, " ", height,
                   "\" role=\"img\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<title>",
                   Escape(drawing.title), "</title>\n");
  for (const auto& item : drawing.items) std::visit(Writer{out}, item);
  return out + "</svg>\n";
}

absl::Status WriteSvg(const Drawing& drawing, const std::string& path) {
  std::ofstream file(path, std::ios::binary);
  file << ToSvg(drawing);
  file.close();
  if (file) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(path, ": cannot be written: ", strerror(errno)));
}

}  // namespace longspan
