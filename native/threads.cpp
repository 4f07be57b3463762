#include "threads.hpp"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <atomic>
#include <chrono>

#include "neighbours.hpp"
#include "pause.hpp"
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

// Calls work(thread, threads) on each of so many threads of torch's.
template <class Work>
void run_on_torchs_threads(int count, Work work) {
    const Clock::time_point begin = Clock::now();
    std::atomic<bool> is_held_up{false};
#pragma omp parallel num_threads(count)
    {
        const Clock::duration before = computing_time();
        work(omp_get_thread_num(), omp_get_num_threads());
        const Clock::duration computed = computing_time() - before;
        if (Neighbours::holds_up(Clock::now() - begin - computed, computed)) is_held_up.store(true, std::memory_order_relaxed);
    }
    neighbours.judge(is_held_up, begin, Clock::now());
}

// Who waits for long leaves its core to whoever else may be meant to come.
template <class IsOver>
void wait_until(IsOver is_over) {
    constexpr int kPatience = 2000;
    for (int looked = 0; !is_over(); ++looked) {
        if (looked < kPatience) {
            pause_briefly();
        } else {
            sched_yield();
        }
    }
}

bool may_use_threads() { return !is_working && !is_forked_child.load() && !omp_in_parallel(); }

bool run_on_our_team(int parts, void (*body)(void* context, int part), void* context) {
    static Team* const team = new Team;  // never destroyed: its threads live as long as the process
    is_working = true;
    const bool is_done = team->run(parts, body, context);
    is_working = false;
    return is_done;
}

}  // namespace

void run_parts(int parts, void (*body)(void* context, int part), void* context) {
    if (parts > 1 && may_use_threads()) {
        if (!neighbours.are_expected()) {
            return run_on_torchs_threads(parts, [&](int thread, int threads) {
                for (int part = thread; part < parts; part += threads) body(context, part);
            });
        }
        if (run_on_our_team(parts, body, context)) return;
    }
    for (int part = 0; part < parts; ++part) body(context, part);
}

bool run_together(int members, void (*body)(void* context, int member, Meeting& meeting), void* context) {
    if (!may_use_threads() || neighbours.are_expected()) return false;
    Meeting meeting(members);
    std::atomic<bool> have_come{true};
    run_on_torchs_threads(members, [&](int thread, int threads) {
        if (threads == members) {
            body(context, thread, meeting);
        } else {
            have_come.store(false, std::memory_order_relaxed);
        }
    });
    return have_come;
}

void Meeting::wait() {
    const unsigned round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1, std::memory_order_release);
        return;
    }
    wait_until([&] { return round_.load(std::memory_order_acquire) != round; });
}

std::ptrdiff_t Progress::wait_for(std::ptrdiff_t place) const {
    std::ptrdiff_t reached = 0;
    wait_until([&] { return (reached = reached_.load(std::memory_order_acquire)) >= place; });
    return reached;
}

void meet(Meeting& meeting) { meeting.wait(); }
void reach(Progress& progress, std::ptrdiff_t steps) { progress.reach(steps); }
std::ptrdiff_t wait_for(const Progress& progress, std::ptrdiff_t steps) { return progress.wait_for(steps); }

}  // namespace gatewise
