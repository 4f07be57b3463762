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

// pack and run: members of Recurrent<T>. Few weights are packed before a second thread has come, and a barrier less is a wait less beside
// a busy neighbour.
template <class Call, class Pack>
void pack_all(const Call& call, int parts, Pack pack) {
    constexpr std::ptrdiff_t kFewWeights = 200'000;
    if (call.size.H * (call.size.I + call.size.H) < kFewWeights) {
        for (int part = 0; part < parts; ++part) pack(call, part, parts);
    } else {
        run_parts(parts, [&](int part) { pack(call, part, parts); });
    }
}

template <class T, class Call, class Pack, class Run>
void run_sequences(const Call& call, int parts, Pack pack, Run run) {
    pack_all(call, parts, pack);
    run_parts(parts, [&](int part) {
        const FlushSubnormals flush(kFlushes<T>);
        run(call, share_of(part, parts, call.size.N, call.steps), part, parts);
    });
}

// How many of `most` threads a product with `columns` columns for each row of the weights and step is worth: below some million
// multiplications waking a second one costs more than it brings.
int threads_worth(const Sizes& size, Cell cell, std::ptrdiff_t columns, std::ptrdiff_t most) {
    constexpr double kWorthAThread = 1.5e6;
    const double work = static_cast<double>(blocks_of(cell) * size.T * size.N) * static_cast<double>(size.H * columns);
    return static_cast<int>(std::max<std::ptrdiff_t>(1, std::min(most, static_cast<std::ptrdiff_t>(std::min(work / kWorthAThread, 1e6)))));
}

}  // namespace

int parts_of(const Sizes& size, Cell cell, int max_threads) {
    return threads_worth(size, cell, size.I + size.P, std::min(static_cast<std::ptrdiff_t>(max_threads), size.N));
}

int product_parts_of(const Sizes& size, Cell cell, int max_threads) {
    return threads_worth(size, cell, 2 * size.I + size.P, max_threads);
}

template <class T>
std::ptrdiff_t forward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts) {
    return kernels_of_cell<T>(kernels, cell).forward_work(size, parts);
}

template <class T>
std::ptrdiff_t backward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts) {
    return kernels_of_cell<T>(kernels, cell).backward_work(size, parts);
}

template <class T>
std::ptrdiff_t products_work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts) {
    return kernels_of_cell<T>(kernels, cell).products_work(size, parts);
}

template <class T>
void run_forward(const Kernels& kernels, Cell cell, const Forward<T>& call, int parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    run_sequences<T>(call, parts, recurrent.pack_forward, recurrent.forward);
}

template <class T>
void run_backward(const Kernels& kernels, Cell cell, const Backward<T>& call, int parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    run_sequences<T>(call, parts, recurrent.pack_backward, recurrent.backward);
}

template <class T>
void run_products(const Kernels& kernels, Cell cell, const Products<T>& call, int parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    pack_all(call, parts, recurrent.pack_products);
    run_parts(parts, [&](int part) {
        const FlushSubnormals flush(kFlushes<T>);
        recurrent.products(call, part, parts);
    });
}

#define GATEWISE_INSTANTIATE(T)                                                              \
    template std::ptrdiff_t forward_work_of<T>(const Kernels&, Cell, const Sizes&, int);     \
    template std::ptrdiff_t backward_work_of<T>(const Kernels&, Cell, const Sizes&, int);    \
    template std::ptrdiff_t products_work_of<T>(const Kernels&, Cell, const Sizes&, int);    \
    template void run_forward(const Kernels&, Cell, const Forward<T>&, int);                 \
    template void run_backward(const Kernels&, Cell, const Backward<T>&, int);               \
    template void run_products(const Kernels&, Cell, const Products<T>&, int);

GATEWISE_INSTANTIATE(float)
GATEWISE_INSTANTIATE(double)
#undef GATEWISE_INSTANTIATE

}  // namespace gatewise
