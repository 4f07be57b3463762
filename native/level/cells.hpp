// The cells: one step, forward beside backward, for one vector of units; one line a term, in the letters of ../recurrent.hpp.
//
// Every pointer of a row is to its first unit; u is the first of this vector's units, H how many there are.
#pragma once

#include "../recurrent.hpp"
#include "activations.hpp"
#include "gemm.hpp"

namespace gatewise::GATEWISE_LEVEL {

// One sequence at one step.
template <class S>
struct ForwardRow {
    const S* x;       // [I]
    S* a;             // [G,units] of the part, W_ih x_t + b_ih
    S* s;             // as a, W_hh h_{t-1} + b_hh
    const S* h_prev;  // [P]
    S* h;             // [H] h_t; with a projection o * tanh(c_t), from which
    S* y;             // [P] h_t is made
    S* c;             // [H] and to the end of the last vector, c_{t-1} in, c_t out; LSTM only
    S* kept;          // [(G+1)*H] the gates, then c_t or W_hn h_{t-1} + b_hn; or null
};

// The preactivations of a vector of units. What it has beyond the last unit is somebody else's, or nothing, and stays within the lanes that are
// not stored.
template <class V>
struct Preactivations {
    Scalar<V>*a, *s;
    std::ptrdiff_t units;  // from block to block

    GATEWISE_INLINE V from_x(int block) const { return load<V>(a + block * units); }
    GATEWISE_INLINE V from_h(int block) const { return load<V>(s + block * units); }
    GATEWISE_INLINE V sum(int block) const { return from_x(block) + from_h(block); }
};

template <class S>
struct BackwardRow {
    const S* dy;          // [P] or null
    const S* dkept;       // [(G+1)*H] or null
    const S* h;           // [P]
    const S* h_prev;      // [P]
    const S* c_prev;      // [H]; LSTM only
    const S* kept;        // [(G+1)*H]
    const S* next_kept;    // [(G+1)*H] of the step before, which comes next; or null
    const S* next_c_prev;  // [H] what c_prev will be then; or null
    S* dh;                // [P] in: dL/dh_t through later steps; out: what reaches h_{t-1} beside W_hh
    S* dc;                // [H] in: dL/dc_t through later steps; out: dL/dc_{t-1}; LSTM only
    S* da;                // [kGradients * H] out
    S* dm;                // [H] dL/d(o * tanh(c_t)); with a projection
    double *dh_norm, *dc_norm;  // out: of what the part has of dh_t and dc_t; or null
    std::ptrdiff_t number;      // among [R,...]
};

// kBlocks: G; kKept: blocks that forward keeps for backward beside h; kGradients: blocks of da; kFirstRecurrent: the first block of da that
// belongs to W_hh; kKeepsHidden: whether h_{t-1} also reaches h_t beside W_hh; kMayProject: whether a projection may follow (it has no panels where
// there is none); block_of(b): which block of the rows of W_ih belongs to block b of da.
//
// Forward comes in two halves, begin and finish: all units of a row do the first, then the second, so that none waits for its own activations
// while others could work. Backward returns dL/dc_t, of which the LSTM makes use.
template <class V, V (*activation)(V), V (*through)(V, V)>
struct RnnCell {
    using Vector = V;
    static constexpr int kBlocks = 1, kKept = 0, kGradients = 1, kFirstRecurrent = 0;
    static constexpr bool kHasCellState = false, kKeepsHidden = false, kMayProject = false;
    static constexpr int block_of(int block) { return block; }

    GATEWISE_INLINE static void begin(const ForwardRow<Scalar<V>>&, const Preactivations<V>&, std::ptrdiff_t, std::ptrdiff_t) {}

    GATEWISE_INLINE static void finish(const ForwardRow<Scalar<V>>& row, const Preactivations<V>& of, std::ptrdiff_t u, std::ptrdiff_t H) {
        store_upto(row.h, activation(of.sum(0)), u, H);
    }

    GATEWISE_INLINE static V backward(const BackwardRow<Scalar<V>>& row, V dh, std::ptrdiff_t u, std::ptrdiff_t H) {
        store_upto(row.da, through(dh, load_upto<V>(row.h, u, H)), u, H);
        return V{};
    }
};

template <class V>
GATEWISE_INLINE V relu(V x) {
    return at_least(x, 0);  // NaN stays NaN
}

// The slopes, from the value.
template <class V>
GATEWISE_INLINE V tanh_slope(V h) {
    return fma(-h, h, splat<V>(1));
}

// dL/da from dL/dh and h = act(a). relu selects: its slope 0 times an infinite dh would be NaN, and torch's is 0.
template <class V>
GATEWISE_INLINE V through_tanh(V dh, V h) {
    return dh * tanh_slope(h);
}

template <class V>
GATEWISE_INLINE V through_relu(V dh, V h) {
    return h <= 0 ? V{} : dh;  // as torch, NaN lets dh through
}

template <class V>
GATEWISE_INLINE V sigmoid_slope(V y) {
    return y * (1 - y);
}

// The gradient of a block of what was kept with what reaches it as a result of its own, where there is any.
template <class V>
GATEWISE_INLINE V plus(V gradient, const Scalar<V>* dkept, int block, std::ptrdiff_t u, std::ptrdiff_t H) {
    return dkept ? gradient + load_upto<V>(dkept + block * H, u, H) : gradient;
}

template <class V>
using RnnTanhCell = RnnCell<V, tanh<V>, through_tanh<V>>;
template <class V>
using RnnReluCell = RnnCell<V, relu<V>, through_relu<V>>;

template <class V>
struct LstmCell {
    using Vector = V;
    static constexpr int kBlocks = 4, kKept = 5, kGradients = 4, kFirstRecurrent = 0;
    static constexpr bool kHasCellState = true, kKeepsHidden = false, kMayProject = true;
    static constexpr int block_of(int block) { return block; }

    GATEWISE_INLINE static void begin(const ForwardRow<Scalar<V>>& row, const Preactivations<V>& of, std::ptrdiff_t u, std::ptrdiff_t H) {
        const V i = sigmoid(of.sum(0));
        const V f = sigmoid(of.sum(1));
        const V g = tanh(of.sum(2));
        const V c = fma(f, load<V>(row.c + u), i * g);
        store(row.c + u, c);
        if (row.kept) {
            store_upto(row.kept + 0 * H, i, u, H);
            store_upto(row.kept + 1 * H, f, u, H);
            store_upto(row.kept + 2 * H, g, u, H);
            store_upto(row.kept + 4 * H, c, u, H);
        }
    }

    GATEWISE_INLINE static void finish(const ForwardRow<Scalar<V>>& row, const Preactivations<V>& of, std::ptrdiff_t u, std::ptrdiff_t H) {
        const V o = sigmoid(of.sum(3));
        store_upto(row.h, o * tanh(load<V>(row.c + u)), u, H);
        if (row.kept) store_upto(row.kept + 3 * H, o, u, H);
    }

    GATEWISE_INLINE static V backward(const BackwardRow<Scalar<V>>& row, V dh, std::ptrdiff_t u, std::ptrdiff_t H) {
        const V i = load_upto<V>(row.kept + 0 * H, u, H);
        const V f = load_upto<V>(row.kept + 1 * H, u, H);
        const V g = load_upto<V>(row.kept + 2 * H, u, H);
        const V o = load_upto<V>(row.kept + 3 * H, u, H);
        const V tanh_c = tanh(load_upto<V>(row.kept + 4 * H, u, H));
        const V dc = plus(fma(dh * o, tanh_slope(tanh_c), load_upto<V>(row.dc, u, H)), row.dkept, 4, u, H);
        const V di = plus(dc * g, row.dkept, 0, u, H);
        const V df = plus(dc * load_upto<V>(row.c_prev, u, H), row.dkept, 1, u, H);
        const V dg = plus(dc * i, row.dkept, 2, u, H);
        const V d_o = plus(dh * tanh_c, row.dkept, 3, u, H);
        store_upto(row.da + 0 * H, di * sigmoid_slope(i), u, H);
        store_upto(row.da + 1 * H, df * sigmoid_slope(f), u, H);
        store_upto(row.da + 2 * H, dg * tanh_slope(g), u, H);
        store_upto(row.da + 3 * H, d_o * sigmoid_slope(o), u, H);
        store_upto(row.dc, dc * f, u, H);
        return dc;
    }
};

template <class V>
struct GruCell {
    using Vector = V;
    static constexpr int kBlocks = 3, kKept = 4, kGradients = 4, kFirstRecurrent = 1;
    static constexpr bool kHasCellState = false, kKeepsHidden = true, kMayProject = false;
    static constexpr int block_of(int block) { return (block + 2) % 3; }  // n r z

    GATEWISE_INLINE static void begin(const ForwardRow<Scalar<V>>& row, const Preactivations<V>& of, std::ptrdiff_t u, std::ptrdiff_t H) {
        const V r = sigmoid(of.sum(0));
        const V s_n = of.from_h(2);
        if (row.kept) {
            store_upto(row.kept + 0 * H, r, u, H);
            store_upto(row.kept + 3 * H, s_n, u, H);
        }
        store(of.a + 2 * of.units, fma(r, s_n, of.from_x(2)));  // the last block: no other begins behind its units
    }

    GATEWISE_INLINE static void finish(const ForwardRow<Scalar<V>>& row, const Preactivations<V>& of, std::ptrdiff_t u, std::ptrdiff_t H) {
        const V z = sigmoid(of.sum(1));
        const V n = tanh(of.from_x(2));
        store_upto(row.h, fma(1 - z, n, z * load_upto<V>(row.h_prev, u, H)), u, H);
        if (row.kept) {
            store_upto(row.kept + 1 * H, z, u, H);
            store_upto(row.kept + 2 * H, n, u, H);
        }
    }

    GATEWISE_INLINE static V backward(const BackwardRow<Scalar<V>>& row, V dh, std::ptrdiff_t u, std::ptrdiff_t H) {
        const V r = load_upto<V>(row.kept + 0 * H, u, H);
        const V z = load_upto<V>(row.kept + 1 * H, u, H);
        const V n = load_upto<V>(row.kept + 2 * H, u, H);
        const V dn = plus(dh * (1 - z), row.dkept, 2, u, H) * tanh_slope(n);  // of n's preactivation, as the two below
        const V dr = plus(dn * load_upto<V>(row.kept + 3 * H, u, H), row.dkept, 0, u, H) * sigmoid_slope(r);
        const V dz = plus(dh * (load_upto<V>(row.h_prev, u, H) - n), row.dkept, 1, u, H) * sigmoid_slope(z);
        store_upto(row.da + 0 * H, dn, u, H);
        store_upto(row.da + 1 * H, dr, u, H);
        store_upto(row.da + 2 * H, dz, u, H);
        store_upto(row.da + 3 * H, r * dn, u, H);
        store_upto(row.dh, dh * z, u, H);
        return V{};
    }
};

}  // namespace gatewise::GATEWISE_LEVEL
