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

    // A call's first and last part ended so long after it began. One call may be held up by chance; two within a moment are not. Each time again,
    // neighbours are expected for twice as long: looking whether they left costs calls that are held up.
    void judge(Clock::duration first, Clock::duration last, Clock::time_point time = Clock::now()) {
        const Count now = time.time_since_epoch().count(), pause = patience_.load(std::memory_order_relaxed);
        if (last <= first + first / 2 + std::chrono::milliseconds(1)) {
            if (now - held_up_.load(std::memory_order_relaxed) > kMoment.count()) patience_.store(kShortest.count(), std::memory_order_relaxed);
        } else if (now - held_up_.exchange(now, std::memory_order_relaxed) <= kMoment.count()) {
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
