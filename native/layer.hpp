// A layer and direction on several threads, with the kernels of one CPU level.
#pragma once

#include "kernels.hpp"

namespace gatewise {

// How many parts a call is split into, from the sizes and the number of threads that may be used: forward and backward by sequences, the
// products by rows of dW.
int parts_of(const Sizes& size, Cell cell, int max_threads);
int product_parts_of(const Sizes& size, Cell cell, int max_threads);

// Elements of T of the workspace for so many parts.
template <class T>
std::ptrdiff_t forward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts);
template <class T>
std::ptrdiff_t backward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts, int product_parts);

// The results are the same bits for any number of parts. Float kernels take subnormal numbers for zero, with or without gradients, so that
// a network computes the same in training and in use; double kernels do not, since the measures of vanishing gradients live on them.
template <class T>
void run_forward(const Kernels& kernels, Cell cell, const Forward<T>& call, int parts);
template <class T>
void run_backward(const Kernels& kernels, Cell cell, const Backward<T>& call, int parts, int product_parts);

}  // namespace gatewise
