// What this machine is, and what its torch shows of its tensors.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "levels.hpp"
#include "register.hpp"
#include "tensor.hpp"

using namespace nanobind::literals;

namespace gatewise::bindings {

void register_machine(nanobind::module_& module) {
    module.def("cpu_level", &chosen_level,
               "The CPU level in use: the one that the environment variable GATEWISE_ISA names, else the best that runs here.");
    module.def("cpu_levels", &runnable_levels, "The CPU levels with native kernels that this machine can run, best first.");
    module.def("compiled_levels", &compiled_levels, "The CPU levels with native kernels in this build, best first.");
    module.def("has_exchange_table", &has_exchange_table, "Whether torch shows its tensors without a detour through Python.");
    module.def("are_plain", &are_plain, "tensors"_a, "is_double"_a,
               "Whether all are tensors or parameters proper, dense, on the CPU, of the type and no negated views. Needs the table.");
    module.def("are_plain_of_shapes", &are_plain_of_shapes, "rows"_a, "shapes"_a, "is_double"_a,
               "Whether all tensors of all rows are plain and have these shapes. Needs the table.");
}

}  // namespace gatewise::bindings
