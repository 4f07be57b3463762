// Numbers too small for a float's full precision: a vanishing gradient is made of them, and each costs a kernel over a hundred cycles.
#pragma once

#include <type_traits>

namespace gatewise {

// This thread's floating-point control word: rounding, subnormal numbers.
unsigned long long read_control();
void write_control(unsigned long long control);

// Float kernels take subnormal numbers for zero, double kernels do not: the measures of vanishing gradients live on them.
template <class T>
inline constexpr bool kFlushes = std::is_same_v<T, float>;

// While it lives, this thread takes subnormal numbers for zero and makes none; then all is as before.
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
