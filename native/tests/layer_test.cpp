// Every cell, type and CPU level of this machine on fenced arrays of exactly their size, against plain loops over double: many sizes, strides,
// lengths and options, drawn from a fixed seed. Ends with 1 and one line if anything disagrees. `cmake --preset asan` runs it sanitized.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>

#include "layer.hpp"
#include "levels.hpp"
#include "random_case.hpp"
#include "threads.hpp"

namespace gatewise::tests {
namespace {

using Results = std::map<std::string, Numbers>;  // every array that came out, dense, by its name in recurrent.hpp

// Largest absolute difference over the largest absolute value of the reference, per array. How exactly the kernels round is tested in Python:
// this is far above rounding, where sums cancel too, and far below what a wrong term makes.
template <class T>
constexpr double kTolerance = sizeof(T) == sizeof(float) ? 1e-4 : 1e-11;

// What lies below the smallest normal number, as a gradient over hundreds of steps may, the kernels are free to make zero.
template <class T>
double scale_of(const Numbers& numbers) {
    double scale = std::numeric_limits<T>::min();
    for (const double number : numbers) scale = std::max(scale, std::abs(number));
    return scale;
}

template <class T>
bool agrees(const Numbers& actual, const Numbers& expected, double tolerance) {
    const auto is_close = [&, scale = scale_of<T>(expected)](double a, double e) { return std::abs(a - e) <= tolerance * scale; };  // NaN is not
    return std::equal(actual.begin(), actual.end(), expected.begin(), expected.end(), is_close);
}

// Rows of one number made wide, or of equal numbers made narrow.
Numbers spread(const Numbers& rows, Index from, Index to) {
    if (from == to) return rows;
    Numbers result;
    for (std::size_t k = 0; k < rows.size(); k += static_cast<std::size_t>(from)) result.insert(result.end(), static_cast<std::size_t>(to), rows[k]);
    return result;
}

// The first of so many columns of every row.
Numbers first_columns(const Numbers& rows, Index columns, Index first) {
    Numbers result;
    for (auto row = rows.begin(); row != rows.end(); row += columns) result.insert(result.end(), row, row + first);
    return result;
}

// The inputs, and what plain loops make of them. A number is what the kernels find after rounding to T, in the row that they find it in.
template <class T>
PlainLayer draw_plain(const Case& of, Random& random) {
    const auto [T_, N, I, H, P, has_projection] = of.size;
    PlainLayer plain(of.cell, of.size, of.is_reverse, of.lengths);
    const auto draw = [&](const Rows& rows, double bound, bool is_given = true) {
        FencedArray<T> array(rows);
        array.set(random.numbers(static_cast<Index>(rows.starts.size()) * rows.columns, is_given ? bound : 0));
        return array.get();
    };
    const auto weight = [&](Index rows, Index columns) { return draw(Rows{rows * columns, {0}}, 1.5 / std::sqrt(columns)); };
    const Index G = plain.blocks();
    plain.x = draw(of.strided(I, of.x_order, true), 2);
    plain.h_0 = draw(of.states(P), 1, of.has_h_0);
    plain.c_0 = draw(of.states(H), 1.5, of.has_c_0);
    plain.W_ih = weight(G * H, I), plain.W_hh = weight(G * H, P), plain.W_hr = weight(P, H);
    plain.b_ih = draw(Rows{G * H, {0}}, 0.7, of.has_b_ih), plain.b_hh = draw(Rows{G * H, {0}}, 0.7, of.has_b_hh);
    plain.dy = spread(draw(of.dy_rows(), 1, of.has_dy), of.dy_rows().columns, P);
    plain.dh_n = draw(of.states(P), 1, of.has_dh_n);
    plain.dc_n = draw(of.states(H), 1, of.has_dc_n);
    plain.dkept = draw(of.contiguous(plain.kept_blocks() * H), 1, of.has_dkept);
    plain.run();
    return plain;
}

// An array of a call, null where it is not given.
template <class T>
class Argument {
public:
    Argument(bool is_given, const Rows& rows) {
        if (is_given) array_.emplace(rows);
    }
    Argument(bool is_given, const Rows& rows, const Numbers& values) : Argument(is_given, rows) {
        if (is_given) array_->set(values);
    }
    T* data() { return array_ ? array_->data() : nullptr; }
    Strided<T> strided() { return array_ ? Strided<T>{data(), array_->step(), array_->sequence()} : Strided<T>{nullptr, 0, 0}; }
    Strided<const T> input() { return {strided().data, strided().step, strided().sequence}; }

    void collect(const std::string& name, Results& results) {
        if (!array_) return;
        array_->check_fences(name);
        results[name] = array_->get();
    }

private:
    std::optional<FencedArray<T>> array_;
};

// Forward, backward and products.
template <class T>
Results run_kernels(const Kernels& kernels, const Case& of, const PlainLayer& plain, const Division& division) {
    const auto [T_, N, I, H, P, has_projection] = of.size;
    const Index G = plain.blocks();
    const bool is_lstm = of.cell == Cell::lstm;
    const Index kept_blocks = plain.kept_blocks();
    const auto flat = [](Index size) { return Rows{size, {0}}; };
    const auto workspace = [&](Index size) { return Argument<T>(true, flat(std::max<Index>(size, 1))); };
    const Steps steps{.is_reverse = of.is_reverse,
                      .lengths = of.is_ragged ? of.lengths.data() : nullptr,
                      .offsets = of.is_packed ? of.offsets.data() : nullptr};

    Argument<T> x(true, of.strided(I, of.x_order, true), plain.x);
    Argument<T> h_0(of.has_h_0, of.states(P), plain.h_0), c_0(is_lstm && of.has_c_0, of.states(H), plain.c_0);
    Argument<T> W_ih(true, flat(G * H * I), plain.W_ih), W_hh(true, flat(G * H * P), plain.W_hh), W_hr(has_projection, flat(P * H), plain.W_hr);
    Argument<T> b_ih(of.has_b_ih, flat(G * H), plain.b_ih), b_hh(of.has_b_hh, flat(G * H), plain.b_hh);
    Argument<T> y(true, of.strided(P, of.y_order, false)), h_n(true, flat(N * P)), c_n(is_lstm, flat(N * H));
    Argument<T> kept(kept_blocks > 0 && of.keeps, of.contiguous(kept_blocks * H));
    Argument<T> work = workspace(forward_work_of<T>(kernels, of.cell, of.size, division));
    run_forward<T>(kernels, of.cell,
                   {.size = of.size, .steps = steps, .x = x.input(), .h_0 = h_0.input(), .c_0 = c_0.input(), .W_ih = W_ih.data(),
                    .W_hh = W_hh.data(), .b_ih = b_ih.data(), .b_hh = b_hh.data(), .W_hr = W_hr.data(), .y = y.strided(), .h_n = h_n.data(),
                    .c_n = c_n.data(), .kept = kept.data(), .work = work.data()},
                   division);
    Results results;
    y.collect("y", results), h_n.collect("h_n", results), c_n.collect("c_n", results), kept.collect("kept", results);
    if (!of.keeps) return results;

    Argument<T> dy(of.has_dy, of.dy_rows(), spread(plain.dy, P, of.dy_rows().columns)), dh_n(of.has_dh_n, of.states(P), plain.dh_n);
    Argument<T> dc_n(is_lstm && of.has_dc_n, of.states(H), plain.dc_n);
    Argument<T> dkept(kept_blocks > 0 && of.has_dkept, of.contiguous(kept_blocks * H), plain.dkept);
    Argument<T> dh_0(of.wants_initial, flat(N * P)), dc_0(is_lstm && of.wants_initial, flat(N * H));
    const Index dh_width = of.width<T>(P), dc_width = of.width<T>(H);
    Argument<T> dh(of.wants_totals, of.contiguous(dh_width)), dc(is_lstm && of.wants_totals, of.contiguous(dc_width));
    Argument<double> dh_norm(of.wants_norms, of.contiguous(1)), dc_norm(is_lstm && of.wants_norms, of.contiguous(1));
    Argument<T> dW_ih(of.wants_dW_ih, flat(G * H * I)), dW_hh(of.wants_dW_hh, flat(G * H * P));
    Argument<T> db_ih(of.wants_db_ih, flat(G * H)), db_hh(of.wants_db_hh, flat(G * H));
    Argument<T> dx(of.wants_dx, of.strided(I, of.y_order, false));
    if (of.wants_dx && of.is_dx_added) dx = Argument<T>(true, of.strided(I, of.y_order, false), plain.dx);  // what is there: the same once more
    Argument<T> backward_work = workspace(backward_work_of<T>(kernels, of.cell, of.size, division));
    run_backward<T>(kernels, of.cell,
                    {.size = of.size, .steps = steps, .dy = dy.input(), .dy_column = of.is_dy_row_constant ? 0 : 1, .dh_n = dh_n.input(),
                     .dc_n = dc_n.input(), .dkept = dkept.data(), .x = x.input(), .h_0 = h_0.input(), .c_0 = c_0.input(), .W_ih = W_ih.data(),
                     .W_hh = W_hh.data(), .W_hr = W_hr.data(), .y = y.input(), .kept = kept.data(), .dx = dx.strided(),
                     .is_dx_added = of.is_dx_added, .dh_0 = dh_0.data(), .dc_0 = dc_0.data(), .dW_ih = dW_ih.data(), .dW_hh = dW_hh.data(),
                     .db_ih = db_ih.data(), .db_hh = db_hh.data(), .dh = {dh.data(), dh_width}, .dc = {dc.data(), dc_width}, .dh_norm = dh_norm.data(),
                     .dc_norm = dc_norm.data(), .work = backward_work.data(), .da = nullptr},
                    division);
    dh_0.collect("dh_0", results), dc_0.collect("dc_0", results);
    dh.collect("dh", results), dc.collect("dc", results), dh_norm.collect("dh_norm", results), dc_norm.collect("dc_norm", results);
    if (of.wants_totals) results["dh"] = first_columns(results["dh"], dh_width, P);
    if (is_lstm && of.wants_totals) results["dc"] = first_columns(results["dc"], dc_width, H);
    dW_ih.collect("dW_ih", results), dW_hh.collect("dW_hh", results), db_ih.collect("db_ih", results), db_hh.collect("db_hh", results);
    dx.collect("dx", results);
    return results;
}

Results expected_results(const Case& of, const PlainLayer& plain) {
    Results expected = {{"y", plain.y}, {"h_n", plain.h_n}, {"c_n", plain.c_n}, {"kept", plain.kept},
                        {"dh_0", plain.dh_0}, {"dc_0", plain.dc_0}, {"dh", plain.dh}, {"dc", plain.dc},
                        {"dh_norm", plain.dh_norm}, {"dc_norm", plain.dc_norm}, {"dW_ih", plain.dW_ih}, {"dW_hh", plain.dW_hh},
                        {"db_ih", plain.db_ih}, {"db_hh", plain.db_hh}, {"dx", plain.dx}};
    for (double& number : expected["dx"]) number *= of.is_dx_added ? 2 : 1;
    return expected;
}

void require(bool is_true, const std::string& what) {
    if (!is_true) throw std::runtime_error(what);
}

template <class T>
void test_case(const Kernels& kernels, const Case& drawn, Random& random) {
    const PlainLayer plain = draw_plain<T>(drawn, random);
    const Results actual = run_kernels<T>(kernels, drawn, plain, drawn.division(true));
    for (const auto& [name, numbers] : expected_results(drawn, plain)) {
        if (!actual.contains(name)) continue;
        require(agrees<T>(actual.at(name), numbers, kTolerance<T>), name + " disagrees with plain loops");
        Numbers spoilt = numbers;  // negative control: one number moved by ten tolerances is noticed
        spoilt[static_cast<std::size_t>(random.below(std::ssize(spoilt)))] += 10 * kTolerance<T> * scale_of<T>(numbers);
        require(!agrees<T>(actual.at(name), spoilt, kTolerance<T>), name + " agrees with a spoilt reference");
    }
    require(run_kernels<T>(kernels, drawn, plain, drawn.division(false)) == actual, "one thread gives other bits than several");
    if (drawn.size.N == 1) {  // within another call there is no second thread that could project ahead
        Results within;
        run_parts(2, [&](int part) {
            if (part == 0) within = run_kernels<T>(kernels, drawn, plain, drawn.division(true));
        });
        require(within == actual, "a call within another one gives other bits");
    }
    if (!drawn.size.has_projection) {
        const auto of_crew = [&](int crew) { return run_kernels<T>(kernels, drawn, plain, {.parts = 1, .crew = crew, .slices = crew, .product_threads = crew}); };
        Results alone = of_crew(1), together = of_crew(2 + drawn.parts % 2);
        for (const char* name : {"dh_norm", "dc_norm"}) {  // sums over all units, which each member has a share of
            if (!alone.contains(name)) continue;
            require(agrees<double>(together.at(name), alone.at(name), kTolerance<double>), "a crew gives other norms than one thread");
            alone.erase(name);
            together.erase(name);
        }
        require(alone == together, "a crew gives other bits than one thread");
    }
    const auto on_threads = [&](int count) { return run_kernels<T>(kernels, drawn, plain, division_of(drawn.size, drawn.cell, count)); };
    require(on_threads(1) == on_threads(3), "one thread gives other bits than three");
}

template <class T>
void test_cell(const std::string& level, Cell cell, int num_cases) {
    static constexpr Sizes beyond_a_block[] = {  // many rows, steps, inputs or units: more than one panel, chunk of rows and block of steps
        {.T = 3, .N = 75, .I = 70, .H = 151, .P = 151, .has_projection = false},
        {.T = 150, .N = 2, .I = 5, .H = 19, .P = 19, .has_projection = false},
        {.T = 40, .N = 7, .I = 301, .H = 21, .P = 21, .has_projection = false},
        {.T = 260, .N = 16, .I = 3, .H = 66, .P = 66, .has_projection = false},  // several blocks of steps in backward
        {.T = 513, .N = 1, .I = 7, .H = 70, .P = 70, .has_projection = false},   // one sequence, projected ahead many times
    };
    static constexpr Sizes wide[] = {
        {.T = 3, .N = 1, .I = 2, .H = 8300, .P = 1, .has_projection = true},     // a step alone fills a block of them
        {.T = 29, .N = 7, .I = 33, .H = 4200, .P = 1, .has_projection = true},  // many weights: several large blocks
    };
    Random random(1);
    const auto test = [&](const Sizes& size) {
        const Case drawn = draw_case(cell, size, random);
        try {
            test_case<T>(kernels_of(level), drawn, random);
        } catch (const std::exception& error) {
            throw std::runtime_error(level + (sizeof(T) == 4 ? " float " : " double ") + drawn.text() + ": " + error.what());
        }
    };
    for (const Sizes& size : beyond_a_block) test(size);
    for (const Sizes& size : wide) {
        if (cell == Cell::lstm) test(size);
    }
    for (int k = 0; k < num_cases; ++k) test(draw_sizes(cell, random));
}

}  // namespace
}  // namespace gatewise::tests

// How many random cases for each cell and type may be the one argument.
int main(int count, char** arguments) {
    using namespace gatewise;
    try {
        const int num_cases = count > 1 ? std::stoi(arguments[1]) : 250;
        for (const std::string& level : runnable_levels()) {
            for (const Cell cell : {Cell::rnn_tanh, Cell::rnn_relu, Cell::lstm, Cell::gru}) {
                tests::test_cell<float>(level, cell, num_cases);
                tests::test_cell<double>(level, cell, num_cases);
            }
            std::printf("%s: 4 cells, 2 types, %d random cases each\n", level.c_str(), num_cases);
        }
        if (runnable_levels().empty()) std::printf("no CPU level runs here: nothing was tested\n");
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
