#include "subnormals.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gatewise {
namespace {

#if defined(__x86_64__)
constexpr unsigned long long kFlush = 0x8040;  // flush to zero, denormals are zero
#else
constexpr unsigned long long kFlush = 1ULL << 24;  // FZ
#endif

}  // namespace

unsigned long long read_control() {
#if defined(__x86_64__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    unsigned long long control;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
#else
    return 0;
#endif
}

void write_control([[maybe_unused]] unsigned long long control) {
#if defined(__x86_64__)
    _mm_setcsr(static_cast<unsigned>(control));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(control));
#endif
}

FlushSubnormals::FlushSubnormals(bool is_wanted) : is_wanted_(is_wanted) {
    if (!is_wanted_) return;
    before_ = read_control();
    write_control(before_ | kFlush);
}

FlushSubnormals::~FlushSubnormals() {
    if (is_wanted_) write_control(before_);
}

}  // namespace gatewise
