// LONGSPAN_HOST_DEVICE: a function that nvcc compiles for the processor and for the device. The
// arithmetic of the kernels that is easy to get wrong (indices, masks, polynomials) lies in such
// functions, so that tests on any machine prove it.
//
// LONGSPAN_UNROLL stands before a loop that the device's code shall unroll wholly, and
// LONGSPAN_UNROLL_BY(n) before one that it shall unroll n times. Elsewhere they are nothing.
#pragma once

#ifdef __CUDACC__
#define LONGSPAN_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define LONGSPAN_HOST_DEVICE inline
#endif

#ifdef __CUDA_ARCH__
#define LONGSPAN_PRAGMA(words) _Pragma(#words)
#define LONGSPAN_UNROLL LONGSPAN_PRAGMA(unroll)
#define LONGSPAN_UNROLL_BY(times) LONGSPAN_PRAGMA(unroll times)
#else
#define LONGSPAN_UNROLL
#define LONGSPAN_UNROLL_BY(times)
#endif
