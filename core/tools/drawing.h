// Drawing: a picture of rectangles, matrix cells, lines and text, in pixels from the upper left
// corner; written as SVG (plain text, the same bytes everywhere) or PNG (twice the size, by cairo).
// A value type.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"

namespace longspan {

struct Drawing {
  struct Box {
    double x = 0, y = 0, width = 0, height = 0;
    std::string fill;    // "#rrggbb"
    std::string border;  // empty = none
    double radius = 0;
  };
  // Cells of one colour of a matrix whose corner is (x, y), a cell scale_x by scale_y pixels large.
  struct Cells {
    struct Run {  // a rectangle of whole cells
      int64_t column = 0, row = 0, columns = 0, rows = 0;
    };
    double x = 0, y = 0, scale_x = 1, scale_y = 1;
    std::string fill;
    std::vector<Run> runs;
  };
  struct Line {
    double x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  };
  struct Lines {
    std::vector<Line> lines;
    std::string color;
    double width = 1;
  };
  enum class Anchor { kStart, kMiddle, kEnd };
  struct Text {
    double x = 0, y = 0;  // of the base line
    double size = 12;
    std::string content;  // UTF-8
    std::string color;
    Anchor anchor = Anchor::kStart;
    bool bold = false;
    bool upright = false;  // turned a quarter, reading from below
  };

  double width = 0, height = 0;
  std::string title;  // for readers who do not see the picture
  std::vector<std::variant<Box, Cells, Lines, Text>> items;
};

std::string ToSvg(const Drawing& drawing);

// Writes `path`. INTERNAL names the file and why.
absl::Status WriteSvg(const Drawing& drawing, const std::string& path);
absl::Status WritePng(const Drawing& drawing, const std::string& path);

}  // namespace longspan
