// One recurrent layer and direction over all its steps: what the fused kernels take, and the table that every CPU level fills.
//
// T steps, N sequences, I inputs, H hidden units, P projection (P = H without one), G blocks of H rows in the weights (RNN 1, LSTM i f g o,
// GRU r z n), R rows: the steps of all sequences that there are. Nothing here may alias unless it says so.
//
// [T,N,K] strided: the last axis is contiguous, the strides of the others are arguments, in elements.
// [R,K] rows: padded (t*N + n) or packed (offsets[t] + n), contiguous.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gatewise {

enum class Cell { rnn_tanh, rnn_relu, lstm, gru };
inline constexpr int kNumCells = 4;

struct Sizes {
    std::ptrdiff_t T, N, I, H, P;
    bool has_projection;
};

// Which steps there are, in which order, and where they lie. Sequence n has steps 0 .. lengths[n]-1.
struct Steps {
    bool is_reverse;              // walks from each sequence's last step to its first
    const std::int64_t* lengths;  // [N], 0..T; null: all T
    const std::int64_t* offsets;  // [T], packed: step t of sequence n is row offsets[t] + n, lengths descend; null: padded
};

// A view of [T,N,...] whose last axis is contiguous; packed, `sequence` is the stride from row to row and `step` means nothing.
template <class T>
struct Strided {
    T* data;
    std::ptrdiff_t step, sequence;
};

// Rows [R,...], each `stride` behind the one before; data null: there are none. Where data and stride are whole
// cache lines, a row is written up to the end of its last one, over what lies behind its columns.
template <class T>
struct Rows {
    T* data;
    std::ptrdiff_t stride;

    T* row(std::ptrdiff_t number) const { return data + number * stride; }
};

// Only steps within a sequence's length are read; in padding y and kept become zero. h_n, c_n: after each sequence's last step.
template <class T>
struct Forward {
    Sizes size;
    Steps steps;
    Strided<const T> x;            // [T,N,I] strided
    Strided<const T> h_0;          // [N,P] strided; data null: zero
    Strided<const T> c_0;          // [N,H] strided; data null: zero; LSTM
    const T* W_ih;                 // [G*H,I]
    const T* W_hh;                 // [G*H,P]
    const T* b_ih;                 // [G*H]; null: zero
    const T* b_hh;                 // [G*H]; null: zero
    const T* W_hr;                 // [P,H]; with a projection
    Strided<T> y;                  // out: [T,N,P] strided
    T* h_n;                        // out: [N,P]; may be h_0, if T is 1
    T* c_n;                        // out: [N,H]; may be c_0; LSTM
    T* kept;                       // out: [R,(G+1)*H] the gates after the activation, then LSTM c_t, GRU W_hn h_{t-1} + b_hn; null: not wanted
    T* work;                       // [forward_work], 64-byte aligned
};

// Backward: dh_t and dc_t are total gradients, through everything that follows the step. Of the results each may be null: not wanted.
template <class T>
struct Backward {
    Sizes size;
    Steps steps;
    Strided<const T> dy;           // [T,N,P] strided; data null: zero
    std::ptrdiff_t dy_column;      // the stride of dy's last axis: 1, or 0 where a row is one number
    Strided<const T> dh_n;         // [N,P] strided; data null: zero
    Strided<const T> dc_n;         // [N,H] strided; data null: zero; LSTM
    const T* dkept;                // [R,(G+1)*H] gradients of the gates and of the LSTM's c_t as results of their own; null: zero. LSTM, GRU
    Strided<const T> x;            // [T,N,I] strided
    Strided<const T> h_0;          // [N,P] strided; data null: zero
    Strided<const T> c_0;          // [N,H] strided; data null: zero; LSTM
    const T* W_ih;                 // [G*H,I]
    const T* W_hh;                 // [G*H,P]
    const T* W_hr;                 // [P,H]; with a projection
    Strided<const T> y;            // [T,N,P] strided, from Forward, as is the next
    const T* kept;                 // [R,(G+1)*H]; LSTM, GRU
    Strided<T> dx;                 // out: [T,N,I] strided; zero in padding
    bool is_dx_added;              // to what is there, from the other direction
    T* dh_0;                       // out: [N,P]
    T* dc_0;                       // out: [N,H]; LSTM
    T* dW_ih;                      // out: [G*H,I]
    T* dW_hh;                      // out: [G*H,P]
    T* db_ih;                      // out: [G*H]
    T* db_hh;                      // out: [G*H]
    Rows<T> dh;                    // out: [R,P] dh_t; zero in padding
    Rows<T> dc;                    // out: [R,H] dc_t; as dh. LSTM
    double* dh_norm;               // out: [R] Euclidean norm of dh_t; as dh
    double* dc_norm;               // out: [R]; as dh. LSTM
    T* work;                       // [backward_work], 64-byte aligned
    // The gradients of the preactivations in a block of steps [N,block,kGradients*H], from which those of the weights and of x are matrix
    // products: RNN da; LSTM di df dg do; GRU dn dr dz r*dn, so that the first three belong to W_ih (as n r z) and the last three to W_hh
    // (as r z n). It lies in the workspace; run_backward sets it. A line behind it may be read too, and holds anything.
    T* da;
};

// Rows that the products take together. dW is read and written once a chunk, and from 256 units on it is larger than the caches near a core.
inline constexpr std::ptrdiff_t kChunk = 256;

// Steps first .. last-1 of all sequences, in the order of walking.
struct Block {
    std::ptrdiff_t first, last;
};

// The sequences of one part of a batch: begin, begin + stride .. below end; all, or at most N / parts of them, rounded up.
struct Share {
    std::ptrdiff_t begin, end, stride;
};

// How the work of a call is divided among threads. Only `groups` decides the order of a sum, and it follows from the sizes alone.
struct Division {
    int parts = 1;   // forward and through time: of the sequences or, where they are shared, of the units
    bool shares_units = false;  // every part walks through all sequences, and meets the others after every step
    int crew = 1;    // how many parts the units can be shared out to instead: no projection, one group, not projected ahead, not packed apart
    bool is_projected_ahead = false;  // a single sequence: one thread makes the input projection, another walks behind it
    int groups = 1;  // of the sequences in the products: each has its own sums, which are added up in the end
    int slices = 1;  // of the rows of dW and of dx in each group: groups * slices parts of the products
    int product_threads = 1;
    bool is_packed_apart = false;  // every part packs for itself all weights that it reads; else each packs its share of those that all read
};

// Where threads that walk together wait for each other.
class Meeting;
void meet(Meeting& meeting);

// How many steps a thread has made for those that walk behind it. `wait_for` returns how many, when there are at least so many.
class Progress;
void reach(Progress& progress, std::ptrdiff_t steps);
std::ptrdiff_t wait_for(const Progress& progress, std::ptrdiff_t steps);

// A kernel works as one part, in whose private workspace; parts may run at the same time. pack_* must have run before: for all parts, or for this one
// where they pack apart. Blocks come from the last steps to the first, each through time and then to its products; `sum_up` follows the last one, if there are groups.
// What is read for every row comes by value, on to the stack of the thread itself.
template <class T>
struct Recurrent {
    int gradient_blocks;                                            // kGradients: of da
    std::ptrdiff_t (*forward_work)(const Sizes&, const Division&);  // elements of T, always a multiple of 64 bytes
    std::ptrdiff_t (*through_time_work)(const Sizes&, const Division&);
    std::ptrdiff_t (*products_work)(const Sizes&, const Division&);
    void (*pack_forward)(const Forward<T>&, const Division&, int part);
    void (*pack_through_time)(const Backward<T>&, const Division&, int part);
    void (*pack_products)(const Backward<T>&, const Division&, int part);
    void (*project)(Forward<T>, Division, Progress&);  // beside pack_forward and forward, where the division says so
    // Meeting null: the part has all units of its sequences. Progress null: nobody projects ahead.
    void (*forward)(Forward<T>, Division, Share, int part, Meeting*, const Progress*);
    void (*through_time)(Backward<T>, Division, Block, Share, int part, Meeting*);
    void (*products)(Backward<T>, Division, Block, Share, int part);
    void (*sum_up)(const Backward<T>&, const Division&, int thread);
};

}  // namespace gatewise
