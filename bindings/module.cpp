#include "register.hpp"

NB_MODULE(_core, module) {
    module.doc() = "The compiled part of Gatewise; gatewise._native is its only user.";
    gatewise::bindings::register_machine(module);
    gatewise::bindings::register_activations(module);
    gatewise::bindings::register_memory(module);
    gatewise::bindings::register_layer(module);
    gatewise::bindings::register_stream(module);
}
