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

template <class T, class Call, class Run>
void run_sequences(const Call& call, int parts, Run run) {
    run_parts(parts, [&](int part) {
        const FlushSubnormals flush(kFlushes<T>);
        run(share_of(part, parts, call.size.N, call.steps), part);
    });
}

// Where everything lies in the workspace of backward, in elements: that of the way through time, that of the products, and the gradients of the
// preactivations of a block of steps. Of all steps at once they would take as much memory as the gates; a block of a quarter of a megabyte is
// slower, since the products add to all of dW once a block. For their sake it has at least kFewestRows rows.
struct BackwardLayout {
    std::ptrdiff_t products, da, block_steps, size;

    template <class T>
    BackwardLayout(const Recurrent<T>& recurrent, const Sizes& of, int parts, int product_parts) {
        constexpr std::ptrdiff_t kBlock = 2 * 1024 * 1024 / std::ptrdiff_t{sizeof(T)}, kFewestRows = 128;
        const std::ptrdiff_t step = of.N * recurrent.gradient_blocks * of.H;
        block_steps = std::min(of.T, std::max(kBlock / step, (kFewestRows + of.N - 1) / of.N));
        products = recurrent.through_time_work(of, parts);
        da = products + recurrent.products_work(of, product_parts);
        size = da + block_steps * step;
    }
};

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
std::ptrdiff_t backward_work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts, int product_parts) {
    return BackwardLayout(kernels_of_cell<T>(kernels, cell), size, parts, product_parts).size;
}

template <class T>
void run_forward(const Kernels& kernels, Cell cell, const Forward<T>& call, int parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    pack_all(call, parts, recurrent.pack_forward);
    run_sequences<T>(call, parts, [&](const Share& share, int part) { recurrent.forward(call, share, part, parts); });
}

template <class T>
void run_backward(const Kernels& kernels, Cell cell, const Backward<T>& given, int parts, int product_parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    const BackwardLayout layout(recurrent, given.size, parts, product_parts);
    Backward<T> call = given, products = given;
    call.da = products.da = given.work + layout.da;
    products.work = given.work + layout.products;
    const bool has_products = given.dx.data || given.dW_ih || given.dW_hh || given.db_ih || given.db_hh;
    pack_all(call, parts, recurrent.pack_through_time);
    if (has_products) pack_all(products, product_parts, recurrent.pack_products);
    for (Block block{0, given.size.T}; block.last > 0; block.last = block.first) {
        block.first = std::max<std::ptrdiff_t>(0, block.last - layout.block_steps);
        run_sequences<T>(call, parts, [&](const Share& share, int part) { recurrent.through_time(call, block, share, part, parts); });
        if (!has_products) continue;
        run_parts(product_parts, [&](int part) {
            const FlushSubnormals flush(kFlushes<T>);
            recurrent.products(products, block, part, product_parts);
        });
    }
}

#define GATEWISE_INSTANTIATE(T)                                                              \
    template std::ptrdiff_t forward_work_of<T>(const Kernels&, Cell, const Sizes&, int);     \
    template std::ptrdiff_t backward_work_of<T>(const Kernels&, Cell, const Sizes&, int, int); \
    template void run_forward(const Kernels&, Cell, const Forward<T>&, int);                 \
    template void run_backward(const Kernels&, Cell, const Backward<T>&, int, int);

GATEWISE_INSTANTIATE(float)
GATEWISE_INSTANTIATE(double)
#undef GATEWISE_INSTANTIATE

}  // namespace gatewise
