#include "stream.hpp"

#include <algorithm>

#include "subnormals.hpp"

namespace gatewise {

template <class T>
Stream<T>::Stream(const Kernels& kernels, Cell cell, const std::vector<StreamLayer<T>>& layers)
    : recurrent_(kernels_for<T>(kernels).recurrent[static_cast<int>(cell)]), has_cell_state_(cell == Cell::lstm) {
    for (const StreamLayer<T>& given : layers) {
        Layer layer{.size = given.size, .work = {}, .h = {}, .c = {}, .y = {}};
        const auto elements = static_cast<std::size_t>(recurrent_.forward_work(given.size, Division{}));
        layer.work.reset(static_cast<T*>(::operator new[](elements * sizeof(T), std::align_val_t{64})));
        layer.h.resize(static_cast<std::size_t>(given.size.N * given.size.P));
        layer.y.resize(layer.h.size());
        layer.c.resize(has_cell_state_ ? static_cast<std::size_t>(given.size.N * given.size.H) : 0);
        Forward<T> call{};
        call.size = given.size;
        call.W_ih = given.W_ih;
        call.W_hh = given.W_hh;
        call.b_ih = given.b_ih;
        call.b_hh = given.b_hh;
        call.W_hr = given.W_hr;
        call.work = layer.work.get();
        recurrent_.pack_forward(call, Division{}, 0);
        layers_.push_back(std::move(layer));
    }
}

template <class T>
void Stream<T>::step(const T* x, T* y) {
    const FlushSubnormals flush(kFlushes<T>);
    for (Layer& layer : layers_) {
        const auto& [steps, N, I, H, P, has_projection] = layer.size;
        Forward<T> call{};
        call.size = layer.size;
        call.x = {x, 0, I};
        call.h_0 = {layer.h.data(), 0, P};
        call.c_0 = {layer.c.data(), 0, H};
        call.y = {layer.y.data(), 0, P};
        call.h_n = layer.h.data();  // written when h_0 has been read
        call.c_n = layer.c.data();
        call.work = layer.work.get();
        recurrent_.forward(call, Division{}, {0, N, 1}, 0, nullptr, nullptr);
        x = layer.y.data();
    }
    std::copy(layers_.back().y.begin(), layers_.back().y.end(), y);
}

template <class T>
void Stream<T>::read_state(T* h, T* c) const {
    for (const Layer& layer : layers_) {
        h = std::copy(layer.h.begin(), layer.h.end(), h);
        c = std::copy(layer.c.begin(), layer.c.end(), c);
    }
}

template <class T>
void Stream<T>::write_state(const T* h, const T* c) {
    for (Layer& layer : layers_) {
        std::copy_n(h, layer.h.size(), layer.h.begin());
        std::copy_n(c, layer.c.size(), layer.c.begin());
        h += layer.h.size();
        c += layer.c.size();
    }
}

template class Stream<float>;
template class Stream<double>;

}  // namespace gatewise
