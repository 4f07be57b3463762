#include "threads.hpp"

#include <omp.h>
#include <pthread.h>

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

// The first and the last end of a call's parts.
struct Ends {
    std::atomic<Clock::duration::rep> first{Clock::duration::max().count()}, last{0};

    void add(Clock::duration::rep end) {
        for (auto known = first.load(); end < known && !first.compare_exchange_weak(known, end);) {
        }
        for (auto known = last.load(); end > known && !last.compare_exchange_weak(known, end);) {
        }
    }
};

void run_on_torchs_threads(int parts, void (*body)(void* context, int part), void* context) {
    const Clock::time_point begin = Clock::now();
    Ends ends;
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int part = 0; part < parts; ++part) {
        body(context, part);
        ends.add((Clock::now() - begin).count());
    }
    neighbours.judge(Clock::duration(ends.first), Clock::duration(ends.last));
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
