// A stack of layers that advances step by step: its weights packed once, its states kept between the calls.
#pragma once

#include <memory>
#include <new>
#include <vector>

#include "kernels.hpp"

namespace gatewise {

// One layer's weights as the kernels take them; they are read while the stream is made and not kept.
template <class T>
struct StreamLayer {
    Sizes size;  // T is 1
    const T *W_ih, *W_hh, *b_ih, *b_hh, *W_hr;
};

template <class T>
class Stream {
public:
    Stream(const Kernels& kernels, Cell cell, const std::vector<StreamLayer<T>>& layers);
    Stream(Stream&&) = default;

    // One step: x [N,I] in, y [N,P] of the last layer out. The same bits as a call of the layer over the whole sequence gives.
    void step(const T* x, T* y);

    // h [L,N,P] and c [L,N,H] (LSTM, else ignored) after the last step.
    void read_state(T* h, T* c) const;
    void write_state(const T* h, const T* c);

private:
    struct FreeAligned {
        void operator()(T* memory) const { ::operator delete[](memory, std::align_val_t{64}); }
    };

    struct Layer {
        Sizes size;
        std::unique_ptr<T[], FreeAligned> work;  // with the packed weights
        std::vector<T> h, c, y;
    };

    const Recurrent<T>& recurrent_;
    bool has_cell_state_;
    std::vector<Layer> layers_;
};

}  // namespace gatewise
