// Drawing: a picture of rectangles, matrix cells, lines and text. Coordinates are pixels from the
// upper left corner. It is written as SVG, which is plain text and has the same bytes everywhere,
// or as PNG with twice as many pixels in each direction, by cairo. A value type.
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
  // Cells of one colour of a matrix. Its upper left corner is (x, y), and a cell has scale_x by
  // scale_y pixels.
  struct Cells {
    // A rectangle of whole cells.
    struct Run {
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
    double x = 0, y = 0;  // of the anchor, on the base line
    double size = 12;
    std::string content;  // UTF-8
    std::string color;
    Anchor anchor = Anchor::kStart;
    bool bold = false;
    bool upright = false;  // turned by a quarter, so that it reads from below
  };

  double width = 0, height = 0;
  std::string title;  // for readers who do not see the picture
  // Later items lie on top of earlier ones.
  std::vector<std::variant<Box, Cells, Lines, Text>> items;
};

std::string ToSvg(const Drawing& drawing);

// Write the file `path`. INTERNAL names the file and the reason.
absl::Status WriteSvg(const Drawing& drawing, const std::string& path);
absl::Status WritePng(const Drawing& drawing, const std::string& path);

}  // namespace longspan
