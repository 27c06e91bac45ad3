// LONGSPAN_HOST_DEVICE: a function that nvcc compiles for the processor and for the device. The
// arithmetic of the kernels that is easy to get wrong (indices, masks, polynomials) lies in such
// functions, so that tests on any machine prove it.
#pragma once

#ifdef __CUDACC__
#define LONGSPAN_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define LONGSPAN_HOST_DEVICE inline
#endif
