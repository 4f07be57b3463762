#include "threads.hpp"

#include <omp.h>
#include <pthread.h>

#include <atomic>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gatewise {
namespace {

std::atomic<bool> is_forked_child{false};

[[maybe_unused]] const int is_registered = pthread_atfork(nullptr, nullptr, [] { is_forked_child.store(true); });

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

#if defined(__x86_64__)
constexpr unsigned long long kFlush = 0x8040;  // flush to zero, denormals are zero
#else
constexpr unsigned long long kFlush = 1ULL << 24;  // FZ
#endif

}  // namespace

void run_parts(int parts, void (*body)(void* context, int part), void* context) {
    if (parts == 1 || is_forked_child.load() || omp_in_parallel()) {
        for (int part = 0; part < parts; ++part) body(context, part);
        return;
    }
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int part = 0; part < parts; ++part) body(context, part);
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
