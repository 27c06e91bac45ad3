#include <cairo/cairo.h>

#include <cmath>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "core/tools/drawing.h"

namespace longspan {
namespace {

constexpr double kPixelsPerUnit = 2;  // so that it is sharp on screens of high density

struct Painter {
  cairo_t* cairo;

  // color: "#rrggbb".
  void SetColor(const std::string& color) const {
    const long rgb = std::strtol(color.c_str() + 1, nullptr, 16);
    cairo_set_source_rgb(cairo, static_cast<double>(rgb >> 16 & 255) / 255,
                         static_cast<double>(rgb >> 8 & 255) / 255,
                         static_cast<double>(rgb & 255) / 255);
  }

  void operator()(const Drawing::Box& box) const {
    const double r = box.radius, right = box.x + box.width - r, bottom = box.y + box.height - r;
    cairo_new_sub_path(cairo);
    cairo_arc(cairo, right, box.y + r, r, -M_PI_2, 0);
    cairo_arc(cairo, right, bottom, r, 0, M_PI_2);
    cairo_arc(cairo, box.x + r, bottom, r, M_PI_2, M_PI);
    cairo_arc(cairo, box.x + r, box.y + r, r, M_PI, 3 * M_PI_2);
    cairo_close_path(cairo);
    SetColor(box.fill);
    cairo_fill_preserve(cairo);
    if (!box.border.empty()) {
      SetColor(box.border);
      cairo_set_line_width(cairo, 1);
      cairo_stroke_preserve(cairo);
    }
    cairo_new_path(cairo);
  }
  void operator()(const Drawing::Cells& cells) const {
    cairo_save(cairo);
    cairo_set_antialias(cairo, CAIRO_ANTIALIAS_NONE);  // no gaps between neighbouring cells
    cairo_translate(cairo, cells.x, cells.y);
    cairo_scale(cairo, cells.scale_x, cells.scale_y);
    for (const Drawing::Cells::Run& run : cells.runs) {
      cairo_rectangle(cairo, static_cast<double>(run.column), static_cast<double>(run.row),
                      static_cast<double>(run.columns), static_cast<double>(run.rows));
    }
    SetColor(cells.fill);
    cairo_fill(cairo);
    cairo_restore(cairo);
  }
  void operator()(const Drawing::Lines& lines) const {
    for (const Drawing::Line& line : lines.lines) {
      cairo_move_to(cairo, line.x1, line.y1);
      cairo_line_to(cairo, line.x2, line.y2);
    }
    SetColor(lines.color);
    cairo_set_line_width(cairo, lines.width);
    cairo_stroke(cairo);
  }
  void operator()(const Drawing::Text& text) const {
    cairo_select_font_face(cairo, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           text.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, text.size);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo, text.content.c_str(), &extents);
    double shift = 0;
    if (text.anchor == Drawing::Anchor::kMiddle) shift = -extents.x_advance / 2;
    if (text.anchor == Drawing::Anchor::kEnd) shift = -extents.x_advance;
    cairo_save(cairo);
    cairo_translate(cairo, text.x, text.y);
    if (text.upright) cairo_rotate(cairo, -M_PI_2);
    cairo_move_to(cairo, shift, 0);
    SetColor(text.color);
    cairo_show_text(cairo, text.content.c_str());
    cairo_restore(cairo);
  }
};

}  // namespace

absl::Status WritePng(const Drawing& drawing, const std::string& path) {
  const std::unique_ptr<cairo_surface_t, decltype(&cairo_surface_destroy)> surface(
      cairo_image_surface_create(CAIRO_FORMAT_ARGB32,
                                 static_cast<int>(std::ceil(drawing.width * kPixelsPerUnit)),
                                 static_cast<int>(std::ceil(drawing.height * kPixelsPerUnit))),
      &cairo_surface_destroy);
  const std::unique_ptr<cairo_t, decltype(&cairo_destroy)> cairo(cairo_create(surface.get()),
                                                                 &cairo_destroy);
  cairo_scale(cairo.get(), kPixelsPerUnit, kPixelsPerUnit);
  for (const auto& item : drawing.items) std::visit(Painter{cairo.get()}, item);
  cairo_status_t status = cairo_status(cairo.get());
  if (status == CAIRO_STATUS_SUCCESS)
    status = cairo_surface_write_to_png(surface.get(), path.c_str());
  if (status == CAIRO_STATUS_SUCCESS) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(path, ": cannot be written: ", cairo_status_to_string(status)));
}

}  // namespace longspan
