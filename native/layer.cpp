#include "layer.hpp"

#include <algorithm>
#include <type_traits>

#include "threads.hpp"

namespace gatewise {
namespace {

template <class T>
const Recurrent<T>& kernels_of_cell(const Kernels& kernels, Cell cell) {
    return kernels_for<T>(kernels).recurrent[static_cast<int>(cell)];
}

template <class T>
constexpr bool kFlushes = std::is_same_v<T, float>;

// The first sequence of a part: parts differ by one sequence at most.
std::ptrdiff_t first_of(int part, int parts, std::ptrdiff_t N) {
    return N / parts * part + std::min<std::ptrdiff_t>(part, N % parts);
}

// pack and run: members of Recurrent<T>.
template <class T, class Call, class Pack, class Run>
void run_packed(const Call& call, int parts, Pack pack, Run run) {
    // Few weights are packed before a second thread has come, and a barrier less is a wait less beside a busy neighbour.
    constexpr std::ptrdiff_t kFewWeights = 200'000;
    if (call.size.H * (call.size.I + call.size.H) < kFewWeights) {
        for (int part = 0; part < parts; ++part) pack(call, part, parts);
    } else {
        run_parts(parts, [&](int part) { pack(call, part, parts); });
    }
    run_parts(parts, [&](int part) {
        const FlushSubnormals flush(kFlushes<T>);
        run(call, first_of(part, parts, call.size.N), first_of(part + 1, parts, call.size.N), part, parts);
    });
}

}  // namespace

int parts_of(const Sizes& size, Cell cell, int max_threads) {
    // Below some million multiplications waking a second thread costs more than it brings.
    constexpr double kWorthAThread = 1.5e6;
    const double blocks = cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1;
    const double work = blocks * static_cast<double>(size.T * size.N) * static_cast<double>(size.H * (size.I + size.H));
    const auto worth = static_cast<std::ptrdiff_t>(std::min(work / kWorthAThread, 1e6));
    return static_cast<int>(std::max<std::ptrdiff_t>(1, std::min({static_cast<std::ptrdiff_t>(max_threads), size.N, worth})));
}

template <class T>
std::ptrdiff_t work_of(const Kernels& kernels, Cell cell, const Sizes& size, int parts, bool is_backward) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    return is_backward ? recurrent.backward_work(size, parts) : recurrent.forward_work(size, parts);
}

template <class T>
void run_forward(const Kernels& kernels, Cell cell, const Forward<T>& call, int parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    run_packed<T>(call, parts, recurrent.pack_forward, recurrent.forward);
}

template <class T>
void run_backward(const Kernels& kernels, Cell cell, const Backward<T>& call, int parts) {
    const Recurrent<T>& recurrent = kernels_of_cell<T>(kernels, cell);
    run_packed<T>(call, parts, recurrent.pack_backward, recurrent.backward);
}

template std::ptrdiff_t work_of<float>(const Kernels&, Cell, const Sizes&, int, bool);
template std::ptrdiff_t work_of<double>(const Kernels&, Cell, const Sizes&, int, bool);
template void run_forward(const Kernels&, Cell, const Forward<float>&, int);
template void run_forward(const Kernels&, Cell, const Forward<double>&, int);
template void run_backward(const Kernels&, Cell, const Backward<float>&, int);
template void run_backward(const Kernels&, Cell, const Backward<double>&, int);

}  // namespace gatewise
