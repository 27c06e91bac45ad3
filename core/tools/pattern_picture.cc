// The layout of a picture, from above:
//   - the title;
//   - the panels side by side, three in a row. Each has a title, lines of text and the matrix with
//     its axes: rows are queries, columns are keys. An LSH panel has strips with the bucket of each
//     token.
//   - the legend of all colours that are used.
// Everything lies on a white card, so that the page around it may be light or dark.
#include "core/tools/pattern_picture.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/tools/pattern_panel.h"

namespace longspan {
namespace {

// In pixels, chosen by eye.
constexpr double kMatrix = 352;      // side of a matrix
constexpr double kLeft = 58;         // left of a matrix: title of the axis, ticks, strip
constexpr double kRight = 18;        // right of a matrix
constexpr double kMargin = 22;       // inside the card
constexpr double kHeader = 50;       // height above the panels
constexpr double kPanelHeader = 78;  // height of a panel's title and its lines
constexpr double kAxis = 44;         // height below a matrix: ticks, title of the axis
constexpr double kStrip = 7;         // thickness of a strip of buckets
constexpr double kLegend = 26;       // height of a row of the legend
constexpr int kPanelsARow = 3;
// Width of a letter as a part of the font's size. An upper bound, so that the legend's entries fit.
constexpr double kCharacter = 0.62;

constexpr const char* kCard = "#ffffff";
constexpr const char* kBorder = "#d0d7de";
constexpr const char* kInk = "#1f2328";
constexpr const char* kFaint = "#59636e";
constexpr const char* kGrid = "#ffffff";

// The colours of buckets 0 ... 7; the next buckets take them again.
constexpr std::array<const char*, 8> kBuckets = {"#332288", "#88ccee", "#117733", "#ddcc77",
                                                 "#cc6677", "#44aa99", "#882255", "#999933"};

class PictureMaker {
 public:
  explicit PictureMaker(const RecordedPatterns& recorded)
      : recorded_(recorded), panels_(MakePanels(recorded)) {}

  Drawing Make() {
    const auto count = static_cast<int>(panels_.size());
    const int columns = std::min(count, kPanelsARow);
    const int rows = (count + kPanelsARow - 1) / kPanelsARow;
    const double panel_width = kLeft + kMatrix + kRight;
    const double panel_height = kPanelHeader + kMatrix + kAxis;
    drawing_.width = 2 * kMargin + columns * panel_width;
    const std::vector<std::vector<LegendEntry>> legend = Legend(drawing_.width - 2 * kMargin);
    drawing_.height = kMargin + kHeader + rows * panel_height +
                      static_cast<double>(legend.size()) * kLegend + kMargin;
    drawing_.title = absl::StrCat("Attention pattern of ", recorded_.info.architecture, " for ",
                                  recorded_.tokens, recorded_.tokens == 1 ? " token" : " tokens");
    drawing_.items.push_back(
        Drawing::Box{0.5, 0.5, drawing_.width - 1, drawing_.height - 1, kCard, kBorder, 10});
    Write(kMargin, kMargin + 18, 18,
          absl::StrCat(recorded_.info.architecture,
                       recorded_.tokens == 1 ? ", 1 token"
                                             : absl::StrCat(", ", recorded_.tokens, " tokens")),
          kInk, Drawing::Anchor::kStart, true);
    for (int i = 0; i < count; ++i) {
      const int column = i % kPanelsARow, row = i / kPanelsARow;
      DrawPanel(panels_[i], kMargin + column * panel_width, kMargin + kHeader + row * panel_height);
    }
    DrawLegend(legend, kMargin + kHeader + rows * panel_height);
    return std::move(drawing_);
  }

 private:
  struct LegendEntry {
    std::string color, text;
    double width = 0;
  };

  void Write(double x, double y, double size, const std::string& text, const char* color,
             Drawing::Anchor anchor = Drawing::Anchor::kStart, bool bold = false,
             bool upright = false) {
    drawing_.items.push_back(Drawing::Text{x, y, size, text, color, anchor, bold, upright});
  }

  void DrawPanel(const PatternPanel& panel, double left, double top) {
    Write(left + kLeft, top + 14, 14, panel.title, kInk, Drawing::Anchor::kStart, true);
    double line = top + 31;
    for (const std::string& words : panel.words) {
      if (words.empty()) continue;
      Write(left + kLeft, line, 11.5, words, kFaint);
      line += 15;
    }
    const auto n = static_cast<double>(panel.pattern->rows());
    const double x = left + kLeft, y = top + kPanelHeader, cell = kMatrix / n;
    drawing_.items.push_back(
        Drawing::Box{x, y, kMatrix, kMatrix, StyleOf(Sight::kHidden).color, "", 0});
    for (const auto& [color, runs] : CellRuns(panel))
      drawing_.items.push_back(Drawing::Cells{x, y, cell, cell, color, runs});
    DrawGrid(panel, x, y, cell);
    if (panel.sorting) DrawStrips(panel, x, y, cell);
    DrawAxes(panel, x, y, cell);
  }

  void AddGridLines(double x, double y, double cell, int64_t n, int64_t step, const char* color,
                    double width) {
    Drawing::Lines lines = {.color = color, .width = width};
    for (int64_t at = step; at < n; at += step) {
      const double offset = cell * static_cast<double>(at);
      lines.lines.push_back({x + offset, y, x + offset, y + kMatrix});
      lines.lines.push_back({x, y + offset, x + kMatrix, y + offset});
    }
    if (!lines.lines.empty()) drawing_.items.push_back(std::move(lines));
  }

  void DrawGrid(const PatternPanel& panel, double x, double y, double cell) {
    const int64_t n = panel.pattern->rows();
    if (cell >= 2.5) AddGridLines(x, y, cell, n, 1, kGrid, cell >= 6 ? 0.8 : 0.4);
    if (panel.chunk > 0 && cell * static_cast<double>(panel.chunk) >= 6)
      AddGridLines(x, y, cell, n, panel.chunk, "#7d8590", 0.6);
    if (panel.sorted) AddGridLines(x, y, cell, n, panel.sorting->length, kInk, 1.4);
  }

  // The bucket of each row, left of the matrix, and of each column, above it. In text order there
  // is a strip for each of the first two rounds.
  void DrawStrips(const PatternPanel& panel, double x, double y, double cell) {
    const LshSorting& sorting = *panel.sorting;
    const int strips = panel.sorted ? 1 : std::min(sorting.num_hashes, 2);
    for (int strip = 0; strip < strips; ++strip) {
      std::map<std::string, std::vector<Drawing::Cells::Run>> across, down;
      for (int32_t i = 0; i < static_cast<int32_t>(sorting.slots.size()); ++i) {
        if (!panel.sorted && i / sorting.length != strip) continue;
        const int64_t at = panel.sorted ? i : sorting.slots[i];
        if (at >= panel.pattern->rows() || sorting.buckets[i] == sorting.num_buckets) continue;
        const std::string color = kBuckets[sorting.buckets[i] % kBuckets.size()];
        across[color].push_back({at, 0, 1, 1});
        down[color].push_back({0, at, 1, 1});
      }
      const double gap = 2 + (kStrip + 1) * (strips - strip);
      for (const auto& [color, runs] : across)
        drawing_.items.push_back(Drawing::Cells{x, y - gap, cell, kStrip, color, runs});
      for (const auto& [color, runs] : down)
        drawing_.items.push_back(Drawing::Cells{x - gap, y, kStrip, cell, color, runs});
    }
  }

  void DrawAxes(const PatternPanel& panel, double x, double y, double cell) {
    const int64_t n = panel.pattern->rows();
    const double strip =
        panel.sorting
            ? (kStrip + 1) * (panel.sorted ? 1 : std::min(panel.sorting->num_hashes, 2)) + 2
            : 0;
    const bool labelled = !panel.labels.empty() && cell >= 7;
    const double size = labelled ? std::min(10.0, cell) : 10;
    for (int64_t i = 0; i < n; i += labelled ? 1 : TickStep(n)) {
      const double middle = cell * (static_cast<double>(i) + 0.5);
      const std::string text = labelled ? panel.labels[i] : absl::StrCat(i);
      Write(x - strip - 4, y + middle + size * 0.36, size, text, kFaint, Drawing::Anchor::kEnd);
      if (labelled) {
        Write(x + middle + size * 0.36, y + kMatrix + 4, size, text, kFaint, Drawing::Anchor::kEnd,
              false, true);
      } else {
        Write(x + middle, y + kMatrix + 13, size, text, kFaint, Drawing::Anchor::kMiddle);
      }
    }
    Write(x + kMatrix / 2, y + kMatrix + 30, 11.5, panel.column_axis, kInk,
          Drawing::Anchor::kMiddle);
    Write(x - kLeft + 14, y + kMatrix / 2, 11.5, panel.row_axis, kInk, Drawing::Anchor::kMiddle,
          false, true);
  }

  // Distance of the ticks, a power of two. There are at most eleven.
  static int64_t TickStep(int64_t n) {
    int64_t step = 1;
    while (n / step > 10) step *= 2;
    return step;
  }

  // The entries of all panels, in rows of at most `width`.
  std::vector<std::vector<LegendEntry>> Legend(double width) const {
    std::vector<LegendEntry> entries;
    std::set<std::pair<std::string, std::string>> known;
    const auto add = [&](const std::string& color, const std::string& text) {
      if (known.emplace(color, text).second)
        entries.push_back({color, text, 34 + kCharacter * 12 * static_cast<double>(text.size())});
    };
    for (const PatternPanel& panel : panels_) {
      std::set<std::string> used;
      for (const auto& [color, runs] : CellRuns(panel)) used.insert(color);
      for (const auto& [sight, text] : panel.meaning) {
        const SightStyle& style = StyleOf(sight);
        if (used.contains(style.color)) add(style.color, text);
        if (used.contains(style.often) && std::string(style.often) != style.color)
          add(style.often, absl::StrCat(text, ", counted ", panel.most_times, " times"));
      }
    }
    add(StyleOf(Sight::kHidden).color, "not seen");
    std::vector<std::vector<LegendEntry>> rows;
    double left = 0;
    for (LegendEntry& entry : entries) {
      if (rows.empty() || entry.width > left) rows.emplace_back(), left = width;
      left -= entry.width;
      rows.back().push_back(std::move(entry));
    }
    return rows;
  }

  void DrawLegend(const std::vector<std::vector<LegendEntry>>& rows, double top) {
    for (const auto& row : rows) {
      double x = kMargin;
      for (const LegendEntry& entry : row) {
        drawing_.items.push_back(Drawing::Box{x, top + 4, 14, 14, entry.color, kBorder, 2});
        Write(x + 20, top + 15, 12, entry.text, kInk);
        x += entry.width;
      }
      top += kLegend;
    }
  }

  const RecordedPatterns& recorded_;
  const std::vector<PatternPanel> panels_;
  Drawing drawing_;
};

}  // namespace

Drawing DrawPatterns(const RecordedPatterns& recorded) { return PictureMaker(recorded).Make(); }

}  // namespace longspan
