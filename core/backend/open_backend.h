// OpenBackend: from what --device says to the backend of that device. CUDA's is a plugin, the
// library liblongspan_cuda.so, which links LibTorch's CUDA libraries. It is opened when a card is
// asked for, so a machine without cards neither needs nor loads any of them.
//
//   cpu       the kernels of the CPU, no backend
//   cuda      the first card       cuda:N    card number N, from 0
//   cuda:N,M  several cards, each with the model; opened one by one (SplitDevices)
//   auto      the first card, or the CPU where there is none that can be used
//
// Proven by open_backend_test.
#pragma once

#include <memory>
#include <string>
#include <vector>

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
inline constexpr int kBackendInterface = 3;

struct BackendPlugin {
  // The library's file. It is looked for beside the running program, then where the program's
  // run path and the system look for libraries; a name with a '/' is a path as it stands.
  std::string library = "liblongspan_cuda.so";
};

// What --device may be, for messages.
inline constexpr char kDeviceNames[] = "cpu, cuda, cuda:N, cuda:N,M,..., auto";
// The devices that `devices` names, in its order: "cuda:0,2" is "cuda:0" and "cuda:2", and any
// other name is itself. INVALID_ARGUMENT: another name, a number of 1,024 or more, a card that is
// named twice.
absl::StatusOr<std::vector<std::string>> SplitDevices(const std::string& devices);

// Null = the kernels of the CPU. INVALID_ARGUMENT: a device of another name. FAILED_PRECONDITION:
// the plugin, a library that it needs, or what it asks of driver and card is missing; one line says
// what. "auto" gives null instead, and `why_cpu`, where it is not null, then gets that line; it is
// left as it is otherwise.
absl::StatusOr<std::shared_ptr<const Backend>> OpenBackend(const std::string& device,
                                                           const BackendPlugin& plugin = {},
                                                           std::string* why_cpu = nullptr);

}  // namespace longspan
