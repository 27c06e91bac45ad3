// The runtime API of CUDA. A test that emulates it (tests/core/cuda/kernels/cuda_emulation.h)
// defines LONGSPAN_CUDA_EMULATION and all names that the kernels need before it includes them, so
// that kernels run on machines without CUDA.
#pragma once

#ifndef LONGSPAN_CUDA_EMULATION
#include <cuda_runtime_api.h>
#endif
