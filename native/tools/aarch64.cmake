# Builds the kernels for aarch64 on another processor and runs their tests in an emulator. Debian: g++-aarch64-linux-gnu, qemu-user.
#
#   cmake -S native -B build/aarch64 -G Ninja --toolchain tools/aarch64.cmake
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
