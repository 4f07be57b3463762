// One recurrent layer and direction over all its steps: what the fused kernels take, and the table that every CPU level fills.
//
// T steps, N sequences, I inputs, H hidden units, G blocks of H rows in the weights (RNN 1, LSTM i f g o, GRU r z n). "[T,N,H] strided":
// the last axis is contiguous, the strides of the others are arguments, in elements. Nothing here may alias unless it says so.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gatewise {

enum class Cell { rnn_tanh, rnn_relu, lstm, gru };
inline constexpr int kNumCells = 4;

struct Sizes {
    std::ptrdiff_t T, N, I, H;
};

// A view of [T,N,...] whose last axis is contiguous.
template <class T>
struct Strided {
    T* data;
    std::ptrdiff_t step, sequence;

    T* row(std::ptrdiff_t t, std::ptrdiff_t n) const { return data + t * step + n * sequence; }
};

// For sequence n only steps 0 .. lengths[n]-1 of x are read; y is zero past them, and h_n, c_n are the states after the last of them.
template <class T>
struct Forward {
    Sizes size;
    bool is_reverse;               // walks from each sequence's last step to its first
    const std::int64_t* lengths;   // [N], 0..T; null: all T
    Strided<const T> x;            // [T,N,I] strided
    Strided<const T> h_0;          // [N,H] strided
    Strided<const T> c_0;          // [N,H] strided; LSTM only
    const T* W_ih;                 // [G*H,I]
    const T* W_hh;                 // [G*H,H]
    const T* b_ih;                 // [G*H]; null: zero
    const T* b_hh;                 // [G*H]; null: zero
    Strided<T> y;                  // out: [T,N,H] strided
    T* h_n;                        // out: [N,H]
    T* c_n;                        // out: [N,H]; LSTM only
    T* gates;                      // out: [T,N,G*H] after the activation, for backward; unwritten past the end; null: not wanted. LSTM, GRU
    T* kept;                       // out: [T,N,H] LSTM c_t, GRU W_hn h_{t-1} + b_hn; as gates
    T* work;                       // [forward_work], 64-byte aligned
};

// The gradients of the preactivations, from which all others are matrix products; and those of the initial states.
// da holds, per step and sequence: RNN da; LSTM di df dg do; GRU dn dr dz r*dn, so that the first three blocks belong to W_ih (as n r z)
// and the last three to W_hh (as r z n). It is zero past each sequence's end.
template <class T>
struct Backward {
    Sizes size;
    bool is_reverse;
    const std::int64_t* lengths;   // [N]; null: all T
    Strided<const T> dy;           // [T,N,H] strided; data null: zero. Never read past a sequence's end
    Strided<const T> dh_n;         // [N,H] strided; data null: zero
    Strided<const T> dc_n;         // [N,H] strided; data null: zero; LSTM only
    Strided<const T> h_0;          // [N,H] strided
    Strided<const T> c_0;          // [N,H] strided; LSTM only
    const T* W_hh;                 // [G*H,H]
    Strided<const T> y;            // [T,N,H] strided, from Forward, as are the next two
    const T* gates;                // [T,N,G*H]; LSTM, GRU
    const T* kept;                 // [T,N,H]; LSTM, GRU
    T* da;                         // out: [T,N,G*H], GRU [T,N,4H]
    T* dh_0;                       // out: [N,H]
    T* dc_0;                       // out: [N,H]; LSTM only
    T* work;                       // [backward_work], 64-byte aligned
};

// A kernel works on sequences begin .. end-1, as part number `part`, whose private workspace it uses; parts may run at the same time.
// pack_* must have packed all its parts before.
template <class T>
struct Recurrent {
    std::ptrdiff_t (*forward_work)(const Sizes&, int parts);  // elements of T
    std::ptrdiff_t (*backward_work)(const Sizes&, int parts);
    void (*pack_forward)(const Forward<T>&, int part, int parts);
    void (*pack_backward)(const Backward<T>&, int part, int parts);
    void (*forward)(const Forward<T>&, std::ptrdiff_t begin, std::ptrdiff_t end, int part, int parts);
    void (*backward)(const Backward<T>&, std::ptrdiff_t begin, std::ptrdiff_t end, int part, int parts);
};

}  // namespace gatewise
