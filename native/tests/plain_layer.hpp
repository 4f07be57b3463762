// The layer of recurrent.hpp in plain loops over double: the reference that the kernels are held against. One sequence after another, one
// step after another, one line per term; every array is dense, padded and time-major, and what a kernel may leave out is zero here.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "recurrent.hpp"

namespace gatewise::tests {

using Index = std::ptrdiff_t;
using Numbers = std::vector<double>;

inline double sigmoid(double a) { return 1 / (1 + std::exp(-a)); }

struct PlainLayer {
    PlainLayer(Cell cell_, const Sizes& size_, bool is_reverse_, std::vector<std::int64_t> lengths_)
        : cell(cell_), size(size_), is_reverse(is_reverse_), lengths(std::move(lengths_)) {}

    Cell cell;
    Sizes size;
    bool is_reverse;
    std::vector<std::int64_t> lengths;  // [N]

    Numbers x, h_0, c_0, W_ih, W_hh, b_ih, b_hh, W_hr;                       // into forward
    Numbers y, h_n, c_n, kept;                                               // out of it
    Numbers dy, dh_n, dc_n, dkept;                                           // into backward
    Numbers dh_0, dc_0, dh, dc, dx, dW_ih, dW_hh, db_ih, db_hh;              // out of it
    Numbers dh_norm, dc_norm;

    Index blocks() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
    Index kept_blocks() const { return blocks() == 1 ? 0 : blocks() + 1; }

    void run() {
        const auto [T, N, I, H, P, has_projection] = size;
        const Index rows = T * N, G = blocks();
        for (Numbers* zeros : {&y, &dh, &h_before}) zeros->assign(at(rows * P), 0);
        for (Numbers* zeros : {&dc, &c_before}) zeros->assign(at(rows * H), 0);
        kept.assign(at(rows * kept_blocks() * H), 0);
        dx.assign(at(rows * I), 0);
        dW_ih.assign(at(G * H * I), 0);
        dW_hh.assign(at(G * H * P), 0);
        for (Numbers* zeros : {&db_ih, &db_hh}) zeros->assign(at(G * H), 0);
        h_n = h_0, c_n = c_0, dh_0 = dh_n, dc_0 = dc_n;  // what a sequence without steps is left with
        for (Index n = 0; n < N; ++n) {
            const Index length = lengths[at(n)];
            for (Index k = 0; k < length; ++k) forward_step((is_reverse ? length - 1 - k : k) * N + n, n);
            for (Index k = length; k-- > 0;) backward_step((is_reverse ? length - 1 - k : k) * N + n, n);
        }
        dh_norm = norms_of(dh, P), dc_norm = norms_of(dc, H);
    }

private:
    Numbers h_before, c_before;  // h_{t-1} [T,N,P], c_{t-1} [T,N,H]

    static std::size_t at(Index index) { return static_cast<std::size_t>(index); }

    // `row` is t*N + n. h_n and c_n of sequence n hold the state before the step, then the one after it.
    void forward_step(Index row, Index n) {
        const auto [T, N, I, H, P, has_projection] = size;
        double* const h = &h_n[at(n * P)];
        double* const c = &c_n[at(n * H)];
        for (Index j = 0; j < P; ++j) h_before[at(row * P + j)] = h[j];
        for (Index j = 0; j < H; ++j) c_before[at(row * H + j)] = c[j];
        const Numbers a_x = product(W_ih, &x[at(row * I)], I, b_ih);
        const Numbers a_h = product(W_hh, &h_before[at(row * P)], P, b_hh);
        Numbers unprojected(at(H));
        for (Index j = 0; j < H; ++j) {
            const auto a = [&](Index block) { return a_x[at(block * H + j)] + a_h[at(block * H + j)]; };
            const auto keep = [&](Index block) -> double& { return kept[at((row * kept_blocks() + block) * H + j)]; };
            if (cell == Cell::rnn_tanh) unprojected[at(j)] = std::tanh(a(0));
            if (cell == Cell::rnn_relu) unprojected[at(j)] = a(0) > 0 ? a(0) : 0;
            if (cell == Cell::lstm) {
                const double i = keep(0) = sigmoid(a(0)), f = keep(1) = sigmoid(a(1));
                const double g = keep(2) = std::tanh(a(2)), o = keep(3) = sigmoid(a(3));
                keep(4) = c[j] = f * c[j] + i * g;
                unprojected[at(j)] = o * std::tanh(c[j]);
            }
            if (cell == Cell::gru) {
                const double r = keep(0) = sigmoid(a(0)), z = keep(1) = sigmoid(a(1));
                keep(3) = a_h[at(2 * H + j)];
                const double candidate = keep(2) = std::tanh(a_x[at(2 * H + j)] + r * keep(3));
                unprojected[at(j)] = (1 - z) * candidate + z * h[j];
            }
        }
        for (Index p = 0; p < P; ++p) {
            h[p] = has_projection ? dot(&W_hr[at(p * H)], unprojected.data(), H) : unprojected[at(p)];
            y[at(row * P + p)] = h[p];
        }
    }

    // dh_0 and dc_0 of sequence n hold the gradients of the state after the step, then those of the one before it.
    void backward_step(Index row, Index n) {
        const auto [T, N, I, H, P, has_projection] = size;
        double* const dh_t = &dh_0[at(n * P)];
        double* const dc_t = &dc_0[at(n * H)];
        for (Index p = 0; p < P; ++p) dh[at(row * P + p)] = dh_t[p] += dy[at(row * P + p)];
        Numbers through_x(at(blocks() * H)), through_h(at(blocks() * H));  // gradients of W_ih x + b_ih and of W_hh h + b_hh
        Numbers dh_before(at(P));
        for (Index j = 0; j < H; ++j) {
            const auto keep = [&](Index block) { return kept[at((row * kept_blocks() + block) * H + j)]; };
            const auto dkeep = [&](Index block) { return dkept[at((row * kept_blocks() + block) * H + j)]; };
            const auto give = [&](Index block, double of_x, double of_h) {
                through_x[at(block * H + j)] = of_x, through_h[at(block * H + j)] = of_h;
            };
            double dh_j = has_projection ? 0 : dh_t[j];  // of the state before a projection
            for (Index p = 0; has_projection && p < P; ++p) dh_j += W_hr[at(p * H + j)] * dh_t[p];
            if (cell == Cell::rnn_tanh || cell == Cell::rnn_relu) {
                const double h = y[at(row * P + j)];
                const double slope = cell == Cell::rnn_tanh ? 1 - h * h : h > 0 ? 1 : 0;
                give(0, dh_j * slope, dh_j * slope);
            }
            if (cell == Cell::lstm) {
                const double i = keep(0), f = keep(1), g = keep(2), o = keep(3), tanh_c = std::tanh(keep(4));
                const double dc_j = dc[at(row * H + j)] = dc_t[j] + dkeep(4) + dh_j * o * (1 - tanh_c * tanh_c);
                const double d[] = {(dc_j * g + dkeep(0)) * i * (1 - i), (dc_j * c_before[at(row * H + j)] + dkeep(1)) * f * (1 - f),
                                    (dc_j * i + dkeep(2)) * (1 - g * g), (dh_j * tanh_c + dkeep(3)) * o * (1 - o)};
                for (Index block = 0; block < 4; ++block) give(block, d[block], d[block]);
                dc_t[j] = dc_j * f;
            }
            if (cell == Cell::gru) {
                const double r = keep(0), z = keep(1), candidate = keep(2);
                const double dn = (dh_j * (1 - z) + dkeep(2)) * (1 - candidate * candidate);
                const double dr = (dn * keep(3) + dkeep(0)) * r * (1 - r);
                const double dz = (dh_j * (h_before[at(row * P + j)] - candidate) + dkeep(1)) * z * (1 - z);
                give(0, dr, dr), give(1, dz, dz), give(2, dn, r * dn);
                dh_before[at(j)] = dh_j * z;
            }
        }
        for (Index k = 0; k < blocks() * H; ++k) {
            for (Index i = 0; i < I; ++i) dW_ih[at(k * I + i)] += through_x[at(k)] * x[at(row * I + i)];
            for (Index p = 0; p < P; ++p) dW_hh[at(k * P + p)] += through_h[at(k)] * h_before[at(row * P + p)];
            for (Index i = 0; i < I; ++i) dx[at(row * I + i)] += through_x[at(k)] * W_ih[at(k * I + i)];
            for (Index p = 0; p < P; ++p) dh_before[at(p)] += through_h[at(k)] * W_hh[at(k * P + p)];
            db_ih[at(k)] += through_x[at(k)];
            db_hh[at(k)] += through_h[at(k)];
        }
        for (Index p = 0; p < P; ++p) dh_t[p] = dh_before[at(p)];
    }

    static double dot(const double* left, const double* right, Index count) {
        double sum = 0;
        for (Index k = 0; k < count; ++k) sum += left[k] * right[k];
        return sum;
    }

    // b + W v, W [G*H,columns].
    static Numbers product(const Numbers& W, const double* v, Index columns, const Numbers& b) {
        Numbers result = b;
        for (Index k = 0; k < static_cast<Index>(b.size()); ++k) result[at(k)] += dot(&W[at(k * columns)], v, columns);
        return result;
    }

    static Numbers norms_of(const Numbers& rows, Index columns) {
        Numbers norms;
        for (Index k = 0; k < static_cast<Index>(rows.size()); k += columns) {
            norms.push_back(std::sqrt(dot(&rows[at(k)], &rows[at(k)], columns)));
        }
        return norms;
    }
};

}  // namespace gatewise::tests
