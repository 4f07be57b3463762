// Work in parts on several threads.
//
// On torch's OpenMP team as long as the machine is ours: its idle threads go on spinning for milliseconds after every operator of torch, and
// threads of our own would have to share their cores. But a barrier waits for every thread: beside one busy process on two cores a call
// of 1 ms waited 3 to 8 ms for one that the system had put aside. Where that happens, the next calls run on a team of ours that
// sleeps when there is nothing to do and in which nobody waits for a thread that never came (team.hpp).
#pragma once

#include <atomic>
#include <cstddef>

#include "recurrent.hpp"

namespace gatewise {

// Calls body(context, part) for part = 0 .. parts-1, at the same time where it may: not within another call or parallel region, and not in a
// forked child, where the threads no longer exist and a parallel region would wait for them for ever. What the parts compute must not
// depend on how they are run; bodies do not throw.
void run_parts(int parts, void (*body)(void* context, int part), void* context);

template <class Body>
void run_parts(int parts, Body body) {
    run_parts(parts, [](void* context, int part) { (*static_cast<Body*>(context))(part); }, &body);
}

// Threads that work together and wait for each other now and then.
class Meeting {
public:
    explicit Meeting(int members) : members_(members) {}

    // Returns when all members have called it, and all that they wrote before is there.
    void wait();

private:
    const int members_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
};

// How far a thread has come, for those that follow it.
class Progress {
public:
    // Says so, with all that was written before.
    void reach(std::ptrdiff_t place) { reached_.store(place, std::memory_order_release); }

    // Returns how far it has come, when that is at least `place`.
    std::ptrdiff_t wait_for(std::ptrdiff_t place) const;

private:
    alignas(64) std::atomic<std::ptrdiff_t> reached_{0};
};

// Calls body(context, member, meeting) for member = 0 .. members-1, all at the same time; or, where threads of torch's cannot be had or may be put
// aside, not at all and returns false.
bool run_together(int members, void (*body)(void* context, int member, Meeting& meeting), void* context);

template <class Body>
bool run_together(int members, Body body) {
    return run_together(members, [](void* context, int member, Meeting& meeting) { (*static_cast<Body*>(context))(member, meeting); }, &body);
}

}  // namespace gatewise
