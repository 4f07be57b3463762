// Which CPU levels were compiled, which of them this machine can run, and which one is in use.
//
// A level is named as its compilers name it: "x86-64-v3" (AVX2 and FMA), "x86-64-v4" (AVX-512), "neon" (every aarch64).
// Where none of them runs, the level is "none": there are no kernels, and the layers do without.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels.hpp"

namespace gatewise {

// The names below, best level first; "none" is not among them.
std::vector<std::string> compiled_levels();
std::vector<std::string> runnable_levels();

// The level in use: the one that the environment variable GATEWISE_ISA names, else the best that runs here.
// Decided at the first call; throws std::invalid_argument for a name that is unknown or cannot run here.
const std::string& chosen_level();

// The kernels of a level. Throws std::invalid_argument for a name that is unknown or cannot run here, and for "none".
const Kernels& kernels_of(std::string_view level);

}  // namespace gatewise
