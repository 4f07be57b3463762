#include "threads.hpp"

#include <omp.h>
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <chrono>

#include "neighbours.hpp"
#include "team.hpp"

namespace gatewise {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<bool> is_forked_child{false};
thread_local bool is_working = false;  // within a call on our team

[[maybe_unused]] const int is_registered = pthread_atfork(nullptr, nullptr, [] { is_forked_child.store(true); });

Neighbours neighbours;

// How long this thread has computed.
Clock::duration computing_time() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

void run_on_torchs_threads(int parts, void (*body)(void* context, int part), void* context) {
    const Clock::time_point begin = Clock::now();
    std::atomic<bool> is_held_up{false};
#pragma omp parallel num_threads(parts)
    {
        const Clock::duration before = computing_time();
        for (int part = omp_get_thread_num(); part < parts; part += omp_get_num_threads()) body(context, part);
        const Clock::duration computed = computing_time() - before;
        if (Neighbours::holds_up(Clock::now() - begin - computed, computed)) is_held_up.store(true, std::memory_order_relaxed);
    }
    neighbours.judge(is_held_up);
}

bool run_on_our_team(int parts, void (*body)(void* context, int part), void* context) {
    static Team* const team = new Team;  // never destroyed: its threads live as long as the process
    is_working = true;
    const bool is_done = team->run(parts, body, context);
    is_working = false;
    return is_done;
}

}  // namespace

void run_parts(int parts, void (*body)(void* context, int part), void* context) {
    if (parts > 1 && !is_working && !is_forked_child.load() && !omp_in_parallel()) {
        if (!neighbours.are_expected()) return run_on_torchs_threads(parts, body, context);
        if (run_on_our_team(parts, body, context)) return;
    }
    for (int part = 0; part < parts; ++part) body(context, part);
}

}  // namespace gatewise
