#include "levels.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace gatewise {

// One table per compiled level, each in the namespace of its level (level/level.cpp).
#ifdef GATEWISE_HAS_X86_64_V4
namespace x86_64_v4 {
extern const Kernels kernels;
}
#endif
#ifdef GATEWISE_HAS_X86_64_V3
namespace x86_64_v3 {
extern const Kernels kernels;
}
#endif
#ifdef GATEWISE_HAS_NEON
namespace neon {
extern const Kernels kernels;
}
#endif

namespace {

struct Level {
    std::string name;
    const Kernels* kernels;
    bool runs_here;
};

// The features that tell a level from the one below. Asked one by one because Clang before 18 does not know the levels by name, nor F16C,
// LZCNT and MOVBE, which every processor with AVX2, FMA and BMI2 has. The builtin also checks that the system saves the wide registers.
#ifdef __x86_64__
[[maybe_unused]] bool runs_x86_64_v3() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

[[maybe_unused]] bool runs_x86_64_v4() {
    return runs_x86_64_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

const std::vector<Level>& levels() {  // best first
    static const std::vector<Level> all = {
#ifdef GATEWISE_HAS_X86_64_V4
        {"x86-64-v4", &x86_64_v4::kernels, runs_x86_64_v4()},
#endif
#ifdef GATEWISE_HAS_X86_64_V3
        {"x86-64-v3", &x86_64_v3::kernels, runs_x86_64_v3()},
#endif
#ifdef GATEWISE_HAS_NEON
        {"neon", &neon::kernels, true},
#endif
    };
    return all;
}

std::string quoted(std::string_view text) { return std::string("'").append(text).append("'"); }

std::string allowed_names() {
    std::string names;
    for (const std::string& level : runnable_levels()) names += quoted(level) + ", ";
    return names + quoted("none");
}

std::string choose_level() {
    const std::vector<std::string> runnable = runnable_levels();
    const char* const variable = std::getenv("GATEWISE_ISA");
    const std::string wanted = variable ? variable : "";
    if (wanted.empty()) return runnable.empty() ? "none" : runnable.front();
    if (wanted == "none" || std::find(runnable.begin(), runnable.end(), wanted) != runnable.end()) return wanted;
    throw std::invalid_argument("GATEWISE_ISA must be one of " + allowed_names() + " on this machine, got " + quoted(wanted));
}

}  // namespace

std::vector<std::string> compiled_levels() {
    std::vector<std::string> names;
    for (const Level& level : levels()) names.push_back(level.name);
    return names;
}

std::vector<std::string> runnable_levels() {
    std::vector<std::string> names;
    for (const Level& level : levels()) {
        if (level.runs_here) names.push_back(level.name);
    }
    return names;
}

const std::string& chosen_level() {
    static const std::string level = choose_level();
    return level;
}

const Kernels& kernels_of(std::string_view wanted) {
    if (wanted == "none") throw std::invalid_argument("the CPU level is 'none': there are no native kernels at this level");
    for (const Level& level : levels()) {
        if (level.runs_here && level.name == wanted) return *level.kernels;
    }
    throw std::invalid_argument("level must be one of " + allowed_names() + " on this machine, got " + quoted(wanted));
}

}  // namespace gatewise
