// What this machine is: the CPU levels.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "levels.hpp"
#include "register.hpp"

namespace gatewise::bindings {

void register_machine(nanobind::module_& module) {
    module.def("cpu_level", &chosen_level,
               "The CPU level in use: the one that the environment variable GATEWISE_ISA names, else the best that runs here.");
    module.def("cpu_levels", &runnable_levels, "The CPU levels with native kernels that this machine can run, best first.");
    module.def("compiled_levels", &compiled_levels, "The CPU levels with native kernels in this build, best first.");
}

}  // namespace gatewise::bindings
