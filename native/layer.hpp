// A layer and direction on several threads, with the kernels of one CPU level.
#pragma once

#include "kernels.hpp"

namespace gatewise {

// For the number of threads that may be used.
Division division_of(const Sizes& size, Cell cell, int max_threads);

// Elements of T of the workspace.
template <class T>
std::ptrdiff_t forward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, const Division& division);
template <class T>
std::ptrdiff_t backward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, const Division& division);

// The results are the same bits for any number of threads. Float kernels take subnormal numbers for zero, with or without gradients, so that
// a network computes the same in training and in use; double kernels do not, since the measures of vanishing gradients live on them.
template <class T>
void run_forward(const Kernels& kernels, Cell cell, const Forward<T>& call, const Division& division);
template <class T>
void run_backward(const Kernels& kernels, Cell cell, const Backward<T>& call, const Division& division);

}  // namespace gatewise
