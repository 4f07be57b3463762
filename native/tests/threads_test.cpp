// Work in parts: every part is done once, whoever calls, from wherever, with the caller's floating-point control word.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "neighbours.hpp"
#include "subnormals.hpp"
#include "team.hpp"
#include "threads.hpp"

namespace {

using namespace gatewise;

void require(bool is_true, const char* what) {
    if (is_true) return;
    std::fprintf(stderr, "threads_test: %s\n", what);
    std::exit(1);
}

struct Counts {
    std::array<std::atomic<int>, 8> of_part{};

    void add(int part) { of_part[static_cast<std::size_t>(part)].fetch_add(1); }

    bool are(int expected, int parts) const {
        for (int part = 0; part < 8; ++part) {
            if (of_part[static_cast<std::size_t>(part)].load() != (part < parts ? expected : 0)) return false;
        }
        return true;
    }
};

void count(void* counts, int part) { static_cast<Counts*>(counts)->add(part); }

void test_team_does_every_part_once() {
    Team* const team = new Team;
    for (int call = 0; call < 3000; ++call) {
        const int parts = 2 + call % 7;
        Counts counts;
        require(team->run(parts, count, &counts), "an idle team refuses a call");
        require(counts.are(1, parts), "a part was done twice, or not at all");
    }
}

void test_team_refuses_a_second_caller() {
    Team* const team = new Team;
    struct Inner {
        Team* team;
        std::atomic<int> refused{0};
    } inner{team};
    const auto body = [](void* context, int) {
        Inner& of = *static_cast<Inner*>(context);
        Counts counts;
        bool is_taken = true;
        std::thread([&] { is_taken = of.team->run(2, count, &counts); }).join();
        of.refused += !is_taken && counts.are(0, 2);
    };
    require(team->run(3, body, &inner), "an idle team refuses a call");
    require(inner.refused == 3, "a team at work takes a second call");
}

void test_team_computes_as_its_caller_does() {
    Team* const team = new Team;
    const FlushSubnormals flush(true);
    struct Seen {
        unsigned long long expected = read_control();
        std::atomic<int> same{0};
    } seen;
    const auto body = [](void* context, int) {
        Seen& of = *static_cast<Seen*>(context);
        of.same += read_control() == of.expected;
    };
    require(team->run(6, body, &seen) && seen.same == 6, "a thread of the team has another control word than the caller");
}

void test_calls_from_several_threads_and_from_within_calls() {
    std::vector<std::thread> callers;
    for (int k = 0; k < 3; ++k) {
        callers.emplace_back([] {
            for (int call = 0; call < 300; ++call) {
                Counts outer, inner;
                run_parts(3, [&](int part) {
                    outer.add(part);
                    run_parts(2, [&](int of_inner) { inner.add(of_inner); });
                });
                require(outer.are(1, 3) && inner.are(3, 2), "a part was done twice, or not at all");
            }
        });
    }
    for (std::thread& caller : callers) caller.join();
}

void test_members_meet() {
    constexpr int kRounds = 2000, kTries = 200;
    for (int members = 2; members <= 4; ++members) {
        Counts counts;
        std::atomic<int> written{0}, early{0};
        const auto body = [&](int member, Meeting& meeting) {
            counts.add(member);
            for (int round = 1; round <= kRounds; ++round) {
                written.fetch_add(1, std::memory_order_relaxed);
                meeting.wait();
                if (written.load(std::memory_order_relaxed) < round * members) early.fetch_add(1);
            }
        };
        int tries = 0;  // where neighbours are expected it is refused, for a second at most
        for (; tries < kTries && !run_together(members, body); ++tries) {
            require(counts.are(0, members), "a member works where they do not come together");
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
        require(tries < kTries, "threads never come together");
        require(counts.are(1, members) && early == 0, "members do not wait for each other");
    }
}

void test_who_follows_sees_what_was_written() {
    constexpr std::ptrdiff_t kPlaces = 20'000;
    std::vector<std::ptrdiff_t> written(kPlaces, 0);
    Progress progress;
    std::thread leader([&] {
        for (std::ptrdiff_t place = 0; place < kPlaces; ++place) {
            written[static_cast<std::size_t>(place)] = place + 1;
            if (place % 3 == 0 || place + 1 == kPlaces) progress.reach(place + 1);
        }
    });
    std::ptrdiff_t wrong = 0, early = 0;
    for (std::ptrdiff_t place = 0, reached = 0; place < kPlaces; ++place) {
        if (reached <= place) reached = progress.wait_for(place + 1);
        early += reached <= place;
        wrong += written[static_cast<std::size_t>(place)] != place + 1;
    }
    leader.join();
    require(early == 0 && wrong == 0, "a thread goes on before the one that it follows has come so far");
    require(progress.wait_for(0) == kPlaces, "a progress forgets how far it has come");
}

void test_nobody_meets_where_threads_may_be_missing() {
    std::atomic<int> met{0};
    run_parts(2, [&](int) { met += run_together(2, [](int, Meeting& meeting) { meeting.wait(); }); });
    require(met == 0, "threads meet within a call");
}

void test_forked_child_does_its_work() {
    const pid_t child = fork();
    if (child == 0) {
        Counts counts;
        run_parts(4, [&](int part) { counts.add(part); });
        _exit(counts.are(1, 4) ? 0 : 1);
    }
    int status = 1;
    require(waitpid(child, &status, 0) == child && status == 0, "a forked child did not do its parts");
}

void test_neighbours_are_expected_after_calls_that_were_held_up() {
    using std::chrono::milliseconds;
    Neighbours neighbours;
    Neighbours::Clock::time_point now = Neighbours::Clock::now();
    const auto see = [&](bool is_held_up, int later) {
        now += milliseconds(later);
        neighbours.judge(is_held_up, now, now);
    };
    see(false, 0), see(true, 5), see(false, 5), see(true, 31);
    require(!neighbours.are_expected(now), "calls held up far apart show neighbours");
    see(true, 10);
    require(neighbours.are_expected(now + milliseconds(99)), "two calls held up in a moment show no neighbours");
    require(!neighbours.are_expected(now + milliseconds(101)), "neighbours are expected for ever");
    see(true, 101), see(true, 10);
    require(neighbours.are_expected(now + milliseconds(199)), "neighbours that stay are not expected for longer");
    see(false, 301), see(true, 40), see(true, 10);
    require(!neighbours.are_expected(now + milliseconds(101)), "neighbours that left are expected for longer");
    require(Neighbours::holds_up(milliseconds(8), milliseconds(1)) && !Neighbours::holds_up(milliseconds(2), milliseconds(10)),
            "whether a thread was put aside depends on the size of its part");
}

}  // namespace

int main() {
    test_team_does_every_part_once();
    test_team_refuses_a_second_caller();
    test_team_computes_as_its_caller_does();
    test_calls_from_several_threads_and_from_within_calls();
    test_members_meet();
    test_who_follows_sees_what_was_written();
    test_nobody_meets_where_threads_may_be_missing();
    test_forked_child_does_its_work();
    test_neighbours_are_expected_after_calls_that_were_held_up();
    return 0;
}
