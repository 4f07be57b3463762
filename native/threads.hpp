// Work in parts on the threads of the process's OpenMP runtime, which is torch's own (gatewise._native loads torch first).
#pragma once

#include <type_traits>

namespace gatewise {

// Calls body(context, part) for part = 0 .. parts-1, at the same time where it may: not inside another parallel region and not in a forked
// child, where the runtime's threads no longer exist and a parallel region would wait for them for ever. There is one barrier, at the end;
// what the parts compute must not depend on how they are run.
void run_parts(int parts, void (*body)(void* context, int part), void* context);

template <class Body>
void run_parts(int parts, Body body) {
    run_parts(parts, [](void* context, int part) { (*static_cast<Body*>(context))(part); }, &body);
}

// Float kernels take subnormal numbers for zero, double kernels do not: the measures of vanishing gradients live on them.
template <class T>
inline constexpr bool kFlushes = std::is_same_v<T, float>;

// While it lives, this thread takes subnormal numbers for zero and makes none; then all is as before. A vanishing gradient is made of them,
// and each costs a kernel over a hundred cycles.
class FlushSubnormals {
public:
    explicit FlushSubnormals(bool is_wanted);
    ~FlushSubnormals();
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

private:
    bool is_wanted_;
    unsigned long long before_ = 0;
};

}  // namespace gatewise
