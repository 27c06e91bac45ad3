// UploadLayout: a packed layout on a backend. It plans the runs of texts with one window, finds the
// global tokens that lie beyond windows, and uploads what kernels read: seams, places in the text,
// globals, which rows are read. Once a batch for each kind of layer. Proven by upload_layout_test.
#pragma once

#include "core/attention/packed_layout.h"
#include "core/backend/backend.h"

namespace longspan {

// `like` is a layout of the same texts with other windows, whose uploads are shared; null = none.
// A global token that the mask leaves out is not global. `layout` need not outlive the result.
DeviceLayout UploadLayout(const Backend& backend, const PackedLayout& layout,
                          const DeviceLayout* like = nullptr);

}  // namespace longspan
