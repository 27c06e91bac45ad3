// OpenBackend: from what --device says to the backend of that device. CUDA's is a plugin, the
// library liblongspan_cuda.so, which links LibTorch's CUDA libraries. It is opened when a card is
// asked for, so a machine without cards neither needs nor loads any of them.
//
//   cpu       the kernels of the CPU, no backend
//   cuda      the first card       cuda:N    card number N, from 0
//   auto      the first card, or the CPU where there is none that can be used
//
// Proven by open_backend_test.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace longspan {

class Backend;

// What the plugin exports under kOpenBackendSymbol. It makes a backend of the card `index`, or
// returns null and says in one line what is missing (driver, card, compute capability); `error`
// has room for kOpenBackendErrorBytes. `interface` is kBackendInterface of the caller: a plugin of
// another version refuses.
using OpenBackendFunction = Backend*(int interface, int index, char* error);
inline constexpr char kOpenBackendSymbol[] = "LongspanOpenBackend";
inline constexpr int kOpenBackendErrorBytes = 512;
// Counts the changes of Backend and of what its operations take.
inline constexpr int kBackendInterface = 1;

struct BackendPlugin {
  // The library's file. It is looked for beside the running program, then where the program's
  // run path and the system look for libraries; a name with a '/' is a path as it stands.
  std::string library = "liblongspan_cuda.so";
};

// Null = the kernels of the CPU. INVALID_ARGUMENT: a device of another name. FAILED_PRECONDITION:
// the plugin, a library that it needs, or what it asks of driver and card is missing; one line says
// what. "auto" gives null instead.
absl::StatusOr<std::shared_ptr<const Backend>> OpenBackend(const std::string& device,
                                                           const BackendPlugin& plugin = {});

}  // namespace longspan
