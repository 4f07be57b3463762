// One function per group of bindings; module.cpp calls them all.
#pragma once

#include <nanobind/nanobind.h>

namespace gatewise::bindings {

void register_machine(nanobind::module_& module);
void register_layer(nanobind::module_& module);
void register_memory(nanobind::module_& module);
void register_activations(nanobind::module_& module);
void register_stream(nanobind::module_& module);

}  // namespace gatewise::bindings
