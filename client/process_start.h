// What the client's main puts right before it starts, so that it neither dies of what it inherited
// from whoever started it nor reports as done what was not written. The programs that compute have
// core/runtime/process_start.h; the client links none of core.
#pragma once

#include <string>

namespace longspan {

// Occupies those of the descriptors 0, 1 and 2 that are closed, for reading and writing alike: gRPC
// would open files under their numbers, and the client would read or write those. It must run
// before main, since gRPC opens files when the libraries are started:
//   __attribute__((section(".preinit_array"), used)) void (*const before_libraries)(
//       int, char**, char**) = OccupyClosedStreams;
void OccupyClosedStreams(int argc, char** argv, char** environment);

// Gives threads 8 MiB of stack, makes a file at its largest size (ulimit -f) and a pipe whose
// reader is gone (`| head`) an error of the write, and raises the number of open files to its hard
// limit, which is returned.
unsigned long long PrepareClient();

// Writes out what stdout holds back. Why that failed, now or before; empty where all was written.
std::string FlushOutput();

}  // namespace longspan
