// Threads of our own, for a machine that is not ours alone: whoever is free takes the next part, the caller included, and nobody waits for a
// thread that never came.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

namespace gatewise {

// One team a process. Its threads are started when they are first needed and stay until the process ends: asleep, but for a moment after each
// call, in which the next one often comes.
class Team {
public:
    // Does all parts, on this thread and on up to parts-1 of the team; returns when all are done. False, with nothing done, if the team is at
    // work for another caller.
    bool run(int parts, void (*body)(void* context, int part), void* context);

private:
    // A call's number and how many of its parts are left, in one word: a thread that takes a part takes it of the call that it saw.
    struct Offer {
        std::uint32_t call;
        std::uint32_t parts_left;
    };

    static_assert(std::atomic<Offer>::is_always_lock_free);

    bool work_on_one_part();
    void start_threads(int count);
    [[noreturn]] void serve();

    std::mutex in_use_;  // by a caller
    int num_threads_ = 0;
    void (*body_)(void*, int) = nullptr;
    void* context_ = nullptr;
    unsigned long long control_ = 0;       // the caller's floating-point control word
    std::atomic<Offer> offer_{Offer{0, 0}};
    std::atomic<int> parts_undone_{0};
    std::atomic<std::uint32_t> calls_{0};  // what sleeping threads wait on
};

}  // namespace gatewise
