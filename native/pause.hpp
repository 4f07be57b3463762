// A moment of waiting that leaves the core's units to its other thread.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gatewise {

inline void pause_briefly() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace gatewise
