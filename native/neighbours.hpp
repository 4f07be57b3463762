// Whether other processes compute on our cores.
#pragma once

#include <atomic>
#include <chrono>

namespace gatewise {

// Told by calls whose parts, alike in size, did not end together.
class Neighbours {
public:
    using Clock = std::chrono::steady_clock;

    bool are_expected(Clock::time_point now = Clock::now()) const {
        return now.time_since_epoch().count() < until_.load(std::memory_order_relaxed);
    }

    // A call's first and last part ended so long after it began. Each time again that it was held up, twice as long until we look again: looking
    // costs a call that is held up.
    void judge(Clock::duration first, Clock::duration last, Clock::time_point now = Clock::now()) {
        const bool is_held_up = last > first + first / 2 + std::chrono::milliseconds(1);
        const Count pause = patience_.load(std::memory_order_relaxed);
        if (is_held_up) until_.store(now.time_since_epoch().count() + pause, std::memory_order_relaxed);
        patience_.store(!is_held_up ? kShortest : pause < kLongest ? 2 * pause : pause, std::memory_order_relaxed);
    }

private:
    using Count = Clock::duration::rep;
    static constexpr Count kShortest = Clock::duration(std::chrono::milliseconds(100)).count();
    static constexpr Count kLongest = Clock::duration(std::chrono::milliseconds(800)).count();
    std::atomic<Count> until_{0}, patience_{kShortest};
};

}  // namespace gatewise
