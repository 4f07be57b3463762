#include "team.hpp"

#include <pthread.h>
#include <signal.h>

#include <chrono>
#include <system_error>
#include <thread>

#include "pause.hpp"
#include "subnormals.hpp"

namespace gatewise {
namespace {

// A sleeping thread takes some 50 us to come; between forward's and backward's parts of a small layer there is less.
constexpr std::chrono::microseconds kAttentive{60};

// Looks for a moment whether `is_true`.
template <class Condition>
bool comes_soon(Condition is_true) {
    const auto end = std::chrono::steady_clock::now() + kAttentive;
    do {
        for (int i = 0; i < 32; ++i) {
            if (is_true()) return true;
            pause_briefly();
        }
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

}  // namespace

bool Team::run(int parts, void (*body)(void* context, int part), void* context) {
    const std::unique_lock lock(in_use_, std::try_to_lock);
    if (!lock) return false;
    start_threads(parts - 1);
    body_ = body;
    context_ = context;
    control_ = read_control();
    parts_undone_.store(parts, std::memory_order_relaxed);
    const std::uint32_t call = calls_.load(std::memory_order_relaxed) + 1;
    offer_.store({call, static_cast<std::uint32_t>(parts)}, std::memory_order_release);
    calls_.store(call);  // sequentially consistent: notify looks whether anybody sleeps
    calls_.notify_all();
    while (work_on_one_part()) {
    }
    const auto is_done = [this] { return parts_undone_.load(std::memory_order_acquire) == 0; };
    if (!comes_soon(is_done)) {
        for (int undone; (undone = parts_undone_.load(std::memory_order_acquire)) != 0;) parts_undone_.wait(undone, std::memory_order_acquire);
    }
    return true;
}

// Takes a part, if one is left, and does it. The caller does not return before it is done, so all that belongs to the call stays.
bool Team::work_on_one_part() {
    Offer offer = offer_.load(std::memory_order_acquire);
    do {
        if (offer.parts_left == 0) return false;
    } while (!offer_.compare_exchange_weak(offer, {offer.call, offer.parts_left - 1}, std::memory_order_acq_rel, std::memory_order_acquire));
    const unsigned long long before = read_control();
    write_control(control_);
    body_(context_, static_cast<int>(offer.parts_left) - 1);
    write_control(before);
    if (parts_undone_.fetch_sub(1, std::memory_order_acq_rel) == 1) parts_undone_.notify_all();
    return true;
}

// Where the system has no thread for us, the caller does more of the parts, or all. Signals are for the threads that the program knows: without
// the mask, Ctrl-C could end in one of ours. Those of a fault belong to the thread that made it.
void Team::start_threads(int count) {
    if (num_threads_ >= count) return;
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&blocked, fault);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    try {
        for (; num_threads_ < count; ++num_threads_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Team::serve() {
    for (std::uint32_t seen = 0;;) {
        while (work_on_one_part()) {
        }
        const auto has_changed = [&] { return calls_.load(std::memory_order_acquire) != seen; };
        if (!comes_soon(has_changed)) calls_.wait(seen, std::memory_order_acquire);
        seen = calls_.load(std::memory_order_acquire);
    }
}

}  // namespace gatewise
