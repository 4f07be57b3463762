#include "layer.hpp"

#include <algorithm>

#include "subnormals.hpp"
#include "threads.hpp"

namespace gatewise {
namespace {

template <class T>
const Recurrent<T>& kernels_of_cell(const Kernels& kernels, Cell cell) {
    return kernels_for<T>(kernels).recurrent[static_cast<int>(cell)];
}

std::ptrdiff_t blocks_of(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

// Which sequences a part takes. Ragged, it takes every parts-th one: where lengths descend, as in a packed batch, the first half of the
// sequences would have most of the steps.
Share share_of(int part, int parts, std::ptrdiff_t N, const Steps& steps) {
    if (steps.lengths) return {part, N, parts};
    const auto first = [&](int k) { return N / parts * k + std::min<std::ptrdiff_t>(k, N % parts); };
    return {first(part), first(part + 1), 1};
}

template <class T>
void run_flushing(int parts, auto body) {
    run_parts(parts, [&](int part) {
        const FlushSubnormals flush(kFlushes<T>);
        body(part);
    });
}

// The same work, its units shared out instead of its sequences.
Division walked_together(Division division) {
    division.shares_units = division.crew > 1;
    if (division.shares_units) division.parts = division.crew;
    division.is_projected_ahead = false;
    return division;
}

// Where everything lies in the workspace of backward, in elements: that of the way through time, that of the products, and the gradients of the
// preactivations of a block of steps, with a line behind it. Of all steps at once they would take as much memory as the gates; a block that stays
// in the caches near a core is read back from there. The products add to all of dW once for so many rows as they take together (kChunk): a block
// has as many in each group, or a few times as many, and not a few more.
struct BackwardLayout {
    std::ptrdiff_t products, da, block_steps, size;

    template <class T>
    BackwardLayout(const Recurrent<T>& recurrent, const Sizes& of, const Division& division) {
        constexpr std::ptrdiff_t kBlock = 512 * 1024 / std::ptrdiff_t{sizeof(T)}, kLine = 64 / std::ptrdiff_t{sizeof(T)};
        const std::ptrdiff_t row = recurrent.gradient_blocks * of.H, sequences = (of.N + division.groups - 1) / division.groups;
        const std::ptrdiff_t chunks = std::max<std::ptrdiff_t>(1, kBlock / (kChunk * division.groups * row));
        block_steps = std::min(of.T, std::max<std::ptrdiff_t>(1, chunks * kChunk / sequences));
        products = std::max(recurrent.through_time_work(of, division), recurrent.through_time_work(of, walked_together(division)));
        da = products + recurrent.products_work(of, division);
        size = da + block_steps * of.N * row + kLine;
    }
};

// How many of `most` threads a product with `columns` columns for each row of the weights and step is worth: below some million
// multiplications waking a second one costs more than it brings.
int threads_worth(const Sizes& size, Cell cell, std::ptrdiff_t columns, std::ptrdiff_t most) {
    constexpr double kWorthAThread = 1.5e6;
    const double work = static_cast<double>(blocks_of(cell) * size.T * size.N) * static_cast<double>(size.H * columns);
    return static_cast<int>(std::max<std::ptrdiff_t>(1, std::min(most, static_cast<std::ptrdiff_t>(std::min(work / kWorthAThread, 1e6)))));
}

// Whether the input projection of a single sequence is worth a second thread, which makes it while the first one walks: fewer multiplications are
// than where threads wait for each other in the end. But of few steps the first, for which the walk waits, are half; preactivations of all steps are
// kept at once; and W_ih is read again for every dozen steps, so it must not come from memory.
bool is_worth_projecting_ahead(const Sizes& size, Cell cell, int max_threads) {
    constexpr std::ptrdiff_t kWorthAThread = 400'000, kFewestSteps = 32, kFewPreactivations = 256 * 1024, kFewWeights = 1'000'000;
    const std::ptrdiff_t preactivations = blocks_of(cell) * size.T * size.H;
    return size.N == 1 && max_threads > 1 && size.T >= kFewestSteps && preactivations <= kFewPreactivations &&
           preactivations * size.I >= kWorthAThread && blocks_of(cell) * size.H * size.I <= kFewWeights;
}

// How many threads walk through all sequences together, each with a share of the units. They wait for each other after every step, so they need
// many weights; and few sequences, since otherwise as many threads could as well have some of their own.
int crew_of(const Sizes& size, Cell cell, int max_threads, int parts) {
    constexpr std::ptrdiff_t kWeightsEach = 75'000, kFewSequences = 4;
    const std::ptrdiff_t weights = blocks_of(cell) * size.H * size.P;
    const int crew = threads_worth(size, cell, size.I + size.P, std::min<std::ptrdiff_t>(max_threads, weights / kWeightsEach));
    return size.has_projection || crew < parts || size.N >= kFewSequences * crew ? 1 : crew;
}

}  // namespace

// What one core writes and another reads has to travel between their caches, and back before it is written again. So where weights are few, what
// is packed of them and the sums of their gradients exist more than once, and a core reads little but what it wrote. Many weights are worked on
// for so long that they travel beside it, and copies of them would push each other out of the caches.
Division division_of(const Sizes& size, Cell cell, int max_threads) {
    constexpr std::ptrdiff_t kFewWeights = 150'000, kFewestRows = 256;
    constexpr int kFewParts = 8;  // the copies of 64 of them would fill the caches that they share
    const bool has_few_weights = blocks_of(cell) * size.H * (size.I + size.P) < kFewWeights;
    const int parts = threads_worth(size, cell, size.I + size.P, std::min(static_cast<std::ptrdiff_t>(max_threads), size.N));
    const int product_threads = threads_worth(size, cell, 2 * size.I + size.P, max_threads);
    const int groups = has_few_weights && size.N > 1 && size.T * size.N >= kFewestRows ? 2 : 1;
    const int crew = has_few_weights ? 1 : crew_of(size, cell, max_threads, parts);
    const int slices = crew > 1 ? crew : std::max(1, product_threads / groups);
    const bool is_packed_apart = has_few_weights && std::max(parts, groups * slices) <= kFewParts;
    return {.parts = parts,
            .crew = crew,
            .is_projected_ahead = crew == 1 && is_worth_projecting_ahead(size, cell, max_threads),
            .groups = groups,
            .slices = slices,
            .product_threads = std::min(product_threads, groups * slices),  // a third thread would be done no sooner than the two
            .is_packed_apart = is_packed_apart};
}

template <class T>
std::ptrdiff_t forward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, const Division& division) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    return std::max(recurrent.forward_work(size, division), recurrent.forward_work(size, walked_together(division)));
}

template <class T>
std::ptrdiff_t backward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, const Division& division) {
    return BackwardLayout(kernels_of_cell<T>(kernels, cell), size, division).size;
}

template <class T>
void run_forward(const Kernels& kernels, Cell cell, const Forward<T>& call, const Division& division) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    const auto walk_together = [&, of = walked_together(division)](int member, Meeting& meeting) {
        const FlushSubnormals flush(kFlushes<T>);
        recurrent.pack_forward(call, of, member);
        recurrent.forward(call, of, {0, call.size.N, 1}, member, &meeting, nullptr);
    };
    Progress progress;
    const auto project_and_walk = [&](int member, Meeting&) {
        const FlushSubnormals flush(kFlushes<T>);
        if (member == 1) return recurrent.project(call, division, progress);
        recurrent.pack_forward(call, division, 0);
        recurrent.forward(call, division, {0, 1, 1}, 0, nullptr, &progress);
    };
    if (division.crew > 1 && run_together(division.crew, walk_together)) return;
    if (division.is_projected_ahead && run_together(2, project_and_walk)) return;
    Division apart = division;
    apart.is_projected_ahead = false;
    if (!apart.is_packed_apart) run_parts(apart.parts, [&](int part) { recurrent.pack_forward(call, apart, part); });
    run_flushing<T>(apart.parts, [&](int part) {
        if (apart.is_packed_apart) recurrent.pack_forward(call, apart, part);
        recurrent.forward(call, apart, share_of(part, apart.parts, call.size.N, call.steps), part, nullptr, nullptr);
    });
}

namespace {

// One call of backward.
template <class T>
class BackwardRun {
public:
    BackwardRun(const Recurrent<T>& recurrent, const Backward<T>& given, const Division& division)
        : recurrent_(recurrent), layout_(recurrent, given.size, division), of_(division), call_(given), products_(given) {
        call_.da = products_.da = given.work + layout_.da;
        products_.work = given.work + layout_.products;
        has_sums_ = given.dW_ih || given.dW_hh || given.db_ih || given.db_hh;
        has_products_ = has_sums_ || given.dx.data;
    }

    void run() {
        const auto walk_together = [&, of = walked_together(of_)](int member, Meeting& meeting) { be_member(of, member, meeting); };
        if (of_.crew > 1 && run_together(of_.crew, walk_together)) return;
        pack();
        for_each_block([&](const Block& block) { run_block(block); });
        if (has_sums_ && of_.groups > 1) run_flushing<T>(of_.product_threads, [&](int thread) { recurrent_.sum_up(products_, of_, thread); });
    }

private:
    void for_each_block(auto visit) const {
        for (Block block{0, call_.size.T}; block.last > 0; block.last = block.first) {
            block.first = std::max<std::ptrdiff_t>(0, block.last - layout_.block_steps);
            visit(block);
        }
    }

    void pack() const {
        if (of_.is_packed_apart) return;
        run_parts(of_.parts, [&](int part) { recurrent_.pack_through_time(call_, of_, part); });
        if (has_products_) run_parts(product_parts(), [&](int part) { recurrent_.pack_products(products_, of_, part); });
    }

    void run_block(const Block& block) const {
        const bool packs = of_.is_packed_apart && block.last == call_.size.T;
        run_flushing<T>(of_.parts, [&](int part) {
            if (packs) recurrent_.pack_through_time(call_, of_, part);
            recurrent_.through_time(call_, of_, block, share_of(part, of_.parts, call_.size.N, call_.steps), part, nullptr);
        });
        if (!has_products_) return;
        run_flushing<T>(of_.product_threads, [&](int thread) {
            for (int part = thread; part < product_parts(); part += of_.product_threads) {
                if (packs) recurrent_.pack_products(products_, of_, part);
                multiply(block, part);
            }
        });
    }

    // What a member of a crew does. The meeting before a block keeps its da from being written while that of the one before is read.
    void be_member(const Division& of, int member, Meeting& meeting) const {
        const FlushSubnormals flush(kFlushes<T>);
        const auto for_each_product = [&](auto visit) {
            for (int part = member; has_products_ && part < product_parts(); part += of.crew) visit(part);
        };
        recurrent_.pack_through_time(call_, of, member);
        for_each_product([&](int part) { recurrent_.pack_products(products_, of, part); });
        for_each_block([&](const Block& block) {
            meeting.wait();
            recurrent_.through_time(call_, of, block, {0, call_.size.N, 1}, member, &meeting);
            meeting.wait();
            for_each_product([&](int part) { multiply(block, part); });
        });
    }

    void multiply(const Block& block, int part) const {
        recurrent_.products(products_, of_, block, share_of(part / of_.slices, of_.groups, call_.size.N, call_.steps), part);
    }

    int product_parts() const { return of_.groups * of_.slices; }

    const Recurrent<T>& recurrent_;
    const BackwardLayout layout_;
    const Division& of_;
    Backward<T> call_, products_;
    bool has_sums_, has_products_;
};

}  // namespace

template <class T>
void run_backward(const Kernels& kernels, Cell cell, const Backward<T>& call, const Division& division) {
    BackwardRun<T>(kernels_of_cell<T>(kernels, cell), call, division).run();
}

#define GATEWISE_INSTANTIATE(T)                                                                     \
    template std::ptrdiff_t forward_work_of<T>(const Kernels&, Cell, const Sizes&, const Division&);  \
    template std::ptrdiff_t backward_work_of<T>(const Kernels&, Cell, const Sizes&, const Division&); \
    template void run_forward(const Kernels&, Cell, const Forward<T>&, const Division&);              \
    template void run_backward(const Kernels&, Cell, const Backward<T>&, const Division&);

GATEWISE_INSTANTIATE(float)
GATEWISE_INSTANTIATE(double)
#undef GATEWISE_INSTANTIATE

}  // namespace gatewise
