// Whether other processes compute on our cores.
#pragma once

#include <atomic>
#include <chrono>

namespace gatewise {

// Told by calls of which a thread was put aside: it was late, or did not compute all the time.
class Neighbours {
public:
    using Clock = std::chrono::steady_clock;

    bool are_expected(Clock::time_point now = Clock::now()) const {
        return now.time_since_epoch().count() < until_.load(std::memory_order_relaxed);
    }

    // Whether a thread that computed for so long was put aside for long: by chance it never is for more than half of it and a millisecond.
    static bool holds_up(Clock::duration aside, Clock::duration computed) { return aside > computed / 2 + std::chrono::milliseconds(1); }

    // One call may be held up by chance; two within a moment are not. Each time again, neighbours are expected for twice as long: looking whether
    // they left costs calls that are held up.
    void judge(bool is_held_up, Clock::time_point begin, Clock::time_point end) {
        const Count start = begin.time_since_epoch().count(), now = end.time_since_epoch().count();
        const Count pause = patience_.load(std::memory_order_relaxed);
        if (!is_held_up) {
            if (start - held_up_.load(std::memory_order_relaxed) > kMoment.count()) patience_.store(kShortest.count(), std::memory_order_relaxed);
        } else if (start - held_up_.exchange(now, std::memory_order_relaxed) <= kMoment.count()) {
            until_.store(now + pause, std::memory_order_relaxed);
            patience_.store(pause < kLongest.count() ? 2 * pause : pause, std::memory_order_relaxed);
        }
    }

private:
    using Count = Clock::duration::rep;
    static constexpr Clock::duration kMoment = std::chrono::milliseconds(30);
    static constexpr Clock::duration kShortest = std::chrono::milliseconds(100), kLongest = std::chrono::milliseconds(800);
    std::atomic<Count> until_{0}, patience_{kShortest.count()}, held_up_{-kMoment.count() - 1};
};

}  // namespace gatewise
